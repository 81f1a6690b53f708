"""A consumer for `onewrite conform`: commits an entry of the ledger with DONE. Needs onewrite.py in its path.

With an argument, it uses a client that starts faster than boto3. Standard input: a batch. Output: the response.
"""

import json
import os
import sys

import onewrite
from dynamodb import Client

LEDGER = os.environ["LEDGER_TABLE_NAME"]
consumer = onewrite.Consumer(os.environ["TABLE_NAME"], client=Client() if sys.argv[1:] else None)


def accept(event):
    if event["data"]["account"] == "closed":
        return {"refused": "account_closed"}
    entry = {"entry_id": {"S": event["subject"]}, "entry": {"S": json.dumps(event["data"])}}
    return {"accepted": True, "writes": [{"Put": {"TableName": LEDGER, "Item": entry}}]}


json.dump(consumer.process(json.load(sys.stdin), accept), sys.stdout)
