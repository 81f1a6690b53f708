"""The double write: write INIT, send, write DONE. The last write can fail after the send."""

import logging
import os

import boto3
from botocore.config import Config

from item import item_of, put_new

# Requests are valid by construction, so botocore need not validate them.
config = Config(parameter_validation=False)
dynamodb = boto3.client("dynamodb", config=config)
kinesis = boto3.client("kinesis", config=config)
table = os.environ["TABLE_NAME"]
stream = os.environ["STREAM_NAME"]


def process(record: dict) -> None:
    stored = put_new(dynamodb, table, item_of(record["messageId"], record["body"]))
    if stored["status"]["S"] == "DONE":
        return
    key = stored["notification_id"]
    kinesis.put_record(StreamName=stream, PartitionKey=key["S"], Data=record["body"].encode())
    dynamodb.update_item(
        TableName=table,
        Key={"notification_id": key},
        UpdateExpression="SET #status = :done, version = :two",
        ExpressionAttributeNames={"#status": "status"},
        ExpressionAttributeValues={":done": {"S": "DONE"}, ":two": {"N": "2"}},
    )


def handler(event, context):
    failures = []
    for record in event["Records"]:
        try:
            process(record)
        except Exception:
            logging.exception("a message failed")
            failures.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failures}
