"""Consumes a batch with onewrite.py, and retries as Lambda does. Argument: the directory of onewrite.py.

Standard input: endpoint, credentials, tables and the batch. Output: {"settled": notifications won, "left": failed records}.
"""

import json
import sys

import boto3

sys.path.insert(0, sys.argv[1])

import onewrite  # noqa: E402

ATTEMPTS = 200

task = json.load(sys.stdin)
client = boto3.client(
    "dynamodb",
    endpoint_url=task["endpoint"],
    region_name=task["region"],
    aws_access_key_id=task["access_key_id"],
    aws_secret_access_key=task["secret_access_key"],
)
consumer = onewrite.Consumer(task["table"], client=client, name="python", retention_days=1)
settled = 0


def count(write):
    """Wraps a method of the consumer, and counts the notifications that it settles."""

    def counted(*arguments):
        global settled
        outcome = write(*arguments)
        settled += outcome == "Settled"
        return outcome

    return counted


consumer.settle_with, consumer.refuse = count(consumer.settle_with), count(consumer.refuse)


def accept(event):
    if event["data"]["n"] % task["refused_every"] == 0:
        return {"refused": "account_closed"}
    effect = {
        "TableName": task["ledger"],
        "Key": {"entry_id": {"S": event["subject"]}},
        "UpdateExpression": "ADD effects :one",
        "ExpressionAttributeValues": {":one": {"N": "1"}},
    }
    return {"accepted": True, "writes": [{"Update": effect}]}


records = task["batch"]["Records"]
for _ in range(ATTEMPTS):
    failures = consumer.process({"Records": records}, accept)["batchItemFailures"]
    if not failures:
        records = []
        break
    lowest = int(failures[0]["itemIdentifier"])
    records = [record for record in records if int(record["kinesis"]["sequenceNumber"]) >= lowest]
json.dump({"settled": settled, "left": len(records)}, sys.stdout)
