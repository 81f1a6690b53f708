"""The item that the Python peers store: the notification as this project's ingest stores it, but with all values as text."""

import hashlib
import json
from datetime import datetime, timezone


def item_of(message_id: str, body: str) -> dict:
    message = json.loads(body)
    kind = message.get("type", "notification")
    payload = json.dumps(message["payload"], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
    return {
        "notification_id": {"S": message["notification_id"]},
        "source_message_id": {"S": message_id},
        "type": {"S": kind},
        "payload": {"S": payload},
        "fingerprint": {"S": hashlib.sha256(f"{kind}\n{payload}".encode()).hexdigest()},
        "status": {"S": "INIT"},
        "version": {"N": "1"},
        "redrives": {"N": "0"},
        "created_at": {"S": now},
        "updated_at": {"S": now},
    }


def put_new(client, table: str, item: dict) -> dict:
    """Writes the item unless its id exists, and returns the stored item. A copy is not an error."""
    try:
        client.put_item(
            TableName=table,
            Item=item,
            ConditionExpression="attribute_not_exists(notification_id)",
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )
    except client.exceptions.ConditionalCheckFailedException as error:
        stored = error.response.get("Item", {})
        if stored.get("fingerprint") != item["fingerprint"]:
            raise ValueError("the id belongs to another notification") from None
        return stored
    return item
