"""A target in Python: one ledger entry per notification, exactly once, because `complete` commits it together with DONE."""

import json
import os

LEDGER = os.environ.get("LEDGER_TABLE_NAME", "ledger")


def handler(event, context):
    refund = event["data"]
    if refund.get("account") == "closed":
        return {"refused": "account_closed"}
    entry = {"entry_id": {"S": event["subject"]}, "entry": {"S": json.dumps(refund)}}
    return {"accepted": True, "writes": [{"Put": {"TableName": LEDGER, "Item": entry}}]}
