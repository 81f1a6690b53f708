"""Forward with boto3: PutRecords with at most one record of an id per call, retries, and a partial batch response."""

import json
import logging
import os
import random
import time
from collections import deque

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

RECORDS, BYTES = 500, 5 * 1024 * 1024
# Requests are valid by construction, so botocore need not validate them.
client = boto3.client("kinesis", config=Config(parameter_validation=False))
stream = os.environ["STREAM_NAME"]


def is_published(record: dict) -> bool:
    """True for a new notification, and for one whose status or redrives changed."""
    if record["eventName"] != "MODIFY":
        return record["eventName"] == "INSERT"
    old, new = record["dynamodb"].get("OldImage", {}), record["dynamodb"]["NewImage"]
    return old.get("status") != new.get("status") or old.get("redrives") != new.get("redrives")


def event_of(item: dict) -> bytes:
    key, status = item["notification_id"]["S"], item["status"]["S"]
    event = {
        "specversion": "1.0",
        "id": f"{key}/{status}",
        "source": "onewrite",
        "type": f"{item['type']['S']}.{status.lower()}",
        "subject": key,
        "time": item["updated_at"]["S"],
        "datacontenttype": "application/json",
        "partitionkey": key,
        "sequence": item["version"]["N"],
        "status": status,
        "fingerprint": item["fingerprint"]["S"],
    }
    # The payload is JSON already.
    return f'{json.dumps(event, separators=(",", ":"))[:-1]},"data":{item["payload"]["S"]}}}'.encode()


def handler(event, context):
    # For each id, its unconfirmed records in order, and their places in the batch.
    unconfirmed: dict[str, deque] = {}
    for place, record in enumerate(event["Records"]):
        try:
            if is_published(record):
                item = record["dynamodb"]["NewImage"]
                entry = {"PartitionKey": item["notification_id"]["S"], "Data": event_of(item)}
                unconfirmed.setdefault(entry["PartitionKey"], deque()).append((place, entry))
        except KeyError:
            logging.exception("skipping a change that cannot be read; the item stays in the table")

    ready, failures = deque(unconfirmed), 0
    while ready:
        entries, size = [], 0
        while ready and len(entries) < RECORDS:
            _, entry = unconfirmed[ready[0]][0]
            size += len(entry["PartitionKey"]) + len(entry["Data"])
            if entries and size > BYTES:
                break
            ready.popleft()
            entries.append(entry)
        try:
            response = client.put_records(StreamName=stream, Records=entries)
        except (BotoCoreError, ClientError):  # after the SDK's own retries
            logging.exception("a PutRecords call failed")
            break
        failed = []
        for entry, put in zip(entries, response["Records"]):
            key = entry["PartitionKey"]
            if "ErrorCode" in put:
                failed.append(key)
            else:
                unconfirmed[key].popleft()
                if unconfirmed[key]:
                    ready.append(key)
        if failed:
            failures = failures + 1 if len(failed) == len(entries) else 0
            pause = random.uniform(0, min(2, 0.05 * 2**failures))
            if pause + 1 > context.get_remaining_time_in_millis() / 1000:
                break
            time.sleep(pause)
            ready.extend(failed)

    places = [records[0][0] for records in unconfirmed.values() if records]
    if not places:
        return {"batchItemFailures": []}
    number = event["Records"][min(places)]["dynamodb"]["SequenceNumber"]
    return {"batchItemFailures": [{"itemIdentifier": number}]}
