"""The target of `cargo soak --function`: one ledger entry per answer, so that two committed answers would be two entries."""

import os
import uuid

LEDGER = os.environ["LEDGER_TABLE_NAME"]


def handler(event, context):
    entry = {"entry_id": {"S": f"{event['subject']}#{uuid.uuid4()}"}}
    return {"accepted": True, "writes": [{"Put": {"TableName": LEDGER, "Item": entry}}]}
