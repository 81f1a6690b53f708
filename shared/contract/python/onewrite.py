"""Settles the notifications of a onewrite stack from your own consumer of its Kinesis stream (contract version 1).

Copy this file. It needs boto3, and Python 3.10 or newer. As a Lambda function:

    import onewrite

    consumer = onewrite.Consumer("notifications-table", retention_days=30)

    def accept(event):
        # Your work, with event["subject"] as its idempotency key.
        return {"accepted": True}

    def handler(batch, context):
        return consumer.process(batch, accept)

`accept` returns {"accepted": True}, {"accepted": True, "writes": [...]} or {"refused": "code"}. An exception fails only its
event. No log line and no exception of this module contains a payload.
"""

import base64
import json
import logging
import os
import re
import time
from datetime import datetime, timezone

from botocore.exceptions import ClientError

CONTRACT_VERSION = 1

# TransactWriteItems takes 100 writes (DynamoDB API reference). One of them is the status.
MAX_WRITES = 99
# BatchGetItem takes 100 keys (DynamoDB API reference).
MAX_KEYS = 100
MAX_READS = 5
FIRST_PAUSE_SECONDS = 0.05
SECONDS_PER_DAY = 86_400

SUFFIXES = {"INIT": ".init", "DONE": ".done", "REFUSED": ".refused"}
SETTLED = ("DONE", "REFUSED")
FINGERPRINT = re.compile(r"[0-9a-f]{64}")
VERSION = re.compile(r"[1-9][0-9]*")
REFUSAL = re.compile(r"[a-z0-9_.-]{1,64}")
NUMBER = re.compile(r"[0-9]+")
NAME = re.compile(r"[!-~]([ -~]{0,62}[!-~])?")
FINGERPRINT_BYTES = 32
# The fingerprint is binary in new items, and text in items that an older version of onewrite has stored.
CONDITION = (
    "attribute_exists(notification_id) AND #status = :init AND version = :seen"
    " AND fingerprint IN (:fingerprint, :fingerprint_text)"
)

log = logging.getLogger("onewrite")


class Failed(Exception):
    """The notification is not known to be settled, so its event must be retried."""

    def __init__(self, name, code=None):
        super().__init__(name if code is None else f"{name}: {code}")
        self.name = name
        self.code = code


class RetryLater(Exception):
    """Raise it in `accept` if your receiver is busy: the batch ends there and is retried."""


def read(data):
    """Parses an event, given as text or bytes. Raises Failed("Unreadable")."""
    try:
        event = json.loads(data)
    except (ValueError, RecursionError):
        raise Failed("Unreadable") from None
    if not isinstance(event, dict) or not _is_consistent(event):
        raise Failed("Unreadable")
    return event


def _is_consistent(event):
    text = {name: value for name, value in event.items() if isinstance(value, str)}
    status, subject = text.get("status"), text.get("subject")
    suffix = SUFFIXES.get(status)
    return bool(
        subject
        and suffix
        and text.get("specversion") == "1.0"
        and text.get("datacontenttype") == "application/json"
        and text.get("id") == f"{subject}/{status}"
        and text.get("partitionkey") == subject
        and text.get("type", "").endswith(suffix)
        and text["type"] != suffix
        and VERSION.fullmatch(text.get("sequence", ""))
        and FINGERPRINT.fullmatch(text.get("fingerprint", ""))
        and "data" in event
    )


class Consumer:
    """Settles notifications of one table. `retention_days` must be DoneRetentionDays of the stack."""

    def __init__(self, table_name, *, name=None, retention_days=0, checks_state=True, client=None, clock=time.time):
        """`name` is stored as `settled_by`, 1 to 64 characters of ASCII. Without it, a Lambda function stores its own name.

        `checks_state=False` saves the read of the current states. Use it only if every effect is in `writes`.
        """
        self.name = name or os.environ.get("AWS_LAMBDA_FUNCTION_NAME")
        if self.name and not NAME.fullmatch(self.name):
            raise ValueError("the name of a consumer has 1 to 64 printable characters of ASCII, without spaces at its ends")
        self.table_name = table_name
        self.retention_days = retention_days
        self.checks_state = checks_state
        self.client = client or _client()
        self.clock = clock

    def settle(self, event):
        """Moves INIT to DONE. Returns "Settled", "AlreadySettled", "Contradicted" or "Ignored"; raises Failed."""
        return self._write(event, "DONE")

    def settle_with(self, event, writes):
        """The same, together with up to 99 entries of TransactWriteItems: all of them are committed, or none."""
        return self._write(event, "DONE", writes=writes)

    def refuse(self, event, code):
        """Moves INIT to REFUSED for good. The code has 1 to 64 of the characters a-z, 0-9, "_", "-" and "."."""
        if not (isinstance(code, str) and REFUSAL.fullmatch(code)):
            raise Failed("DownstreamFailed", "InvalidRefusal")
        return self._write(event, "REFUSED", refusal=code)

    def process(self, batch, accept):
        """Calls `accept` for each INIT event of a Lambda batch and settles its notification. Returns the response."""
        units = _units(batch["Records"])
        states = self._states([event for event, _ in units if event and event["status"] == "INIT"])
        failed, is_stopped = [], False
        for event, numbers in units:
            try:
                self._process_event(event, states, accept, is_stopped)
            except Failed as failure:
                is_stopped = is_stopped or failure.name == "RetryLater"
                subject = event and event["subject"]
                log.warning("notification %s, record %s: %s", subject, numbers[0], failure)
                failed += numbers
        if not failed:
            return {"batchItemFailures": []}
        return {"batchItemFailures": [{"itemIdentifier": _lowest(failed)}]}

    def _process_event(self, event, states, accept, is_stopped):
        if event is None:
            raise Failed("Unreadable")
        if event["status"] != "INIT":
            return
        if self.checks_state:
            if states is None:
                raise Failed("StateUnknown")
            if _is_settled(event, states.get(event["subject"])):
                return
        if is_stopped:
            raise Failed("Postponed")
        outcome = self._settle_by(_verdict(accept, event), event)
        if outcome == "Contradicted":
            log.error("notification %s: decided otherwise than before; the first decision stays", event["subject"])

    def _settle_by(self, verdict, event):
        if "refused" in verdict:
            return self.refuse(event, verdict["refused"])
        return self.settle_with(event, verdict.get("writes", []))

    def _states(self, events):
        """The current items by id, or None if they are not known."""
        if not self.checks_state:
            return None
        ids = sorted({event["subject"] for event in events})
        items = {}
        try:
            for start in range(0, len(ids), MAX_KEYS):
                self._read(ids[start : start + MAX_KEYS], items)
        except Failed as failure:
            log.warning("the current states are not known: %s", failure)
            return None
        return items

    def _read(self, ids, items):
        left = {
            self.table_name: {
                "Keys": [{"notification_id": {"S": one}} for one in ids],
                "ConsistentRead": True,
                "ProjectionExpression": "notification_id, #status, version, fingerprint",
                "ExpressionAttributeNames": {"#status": "status"},
            }
        }
        for attempt in range(MAX_READS):
            if attempt > 0:
                time.sleep(FIRST_PAUSE_SECONDS * 2 ** (attempt - 1))
            output = _call(self.client.batch_get_item, RequestItems=left)
            found = output.get("Responses", {}).get(self.table_name, [])
            items.update({_text(item, "notification_id"): item for item in found})
            left = output.get("UnprocessedKeys")
            if not left:
                return
        raise Failed("TableFailed", "UnprocessedKeys")

    def _write(self, event, status, refusal=None, writes=()):
        if event["status"] != "INIT":
            return "Ignored"
        if len(writes) > MAX_WRITES:
            raise Failed("TableFailed", "TooManyWrites")
        update = self._update(event, status, refusal)
        try:
            if writes:
                # The SDK creates a client request token per call. A token derived from the id would let two competing
                # consumers win.
                _call(self.client.transact_write_items, TransactItems=[{"Update": update}, *writes])
            else:
                _call(self.client.update_item, **update)
            return "Settled"
        except _Rejected as rejected:
            response = rejected.response
        return _explain(response, event, status)

    def _update(self, event, status, refusal):
        now = self.clock()
        at = datetime.fromtimestamp(now, timezone.utc).isoformat(timespec="milliseconds")
        version = int(event["sequence"])
        update = "SET #status = :settled, version = :next, updated_at = :now"
        values = {
            ":init": {"S": "INIT"},
            ":settled": {"S": status},
            ":fingerprint": {"B": bytes.fromhex(event["fingerprint"])},
            ":fingerprint_text": {"S": event["fingerprint"]},
            ":seen": {"N": str(version)},
            ":next": {"N": str(version + 1)},
            ":now": {"S": at.replace("+00:00", "Z")},
        }
        if refusal is not None:
            update += ", refusal = :refusal"
            values[":refusal"] = {"S": refusal}
        if self.name:
            update += ", settled_by = :settled_by"
            values[":settled_by"] = {"S": self.name}
        if self.retention_days > 0:
            update += ", expires_at = :expires"
            values[":expires"] = {"N": str(int(now) + self.retention_days * SECONDS_PER_DAY)}
        return {
            "TableName": self.table_name,
            "Key": {"notification_id": {"S": event["subject"]}},
            "UpdateExpression": update,
            "ConditionExpression": CONDITION,
            "ExpressionAttributeNames": {"#status": "status"},
            "ExpressionAttributeValues": values,
            # The existing item decides what a failed condition means.
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }


class _Rejected(Exception):
    """DynamoDB answered that it wrote nothing, with reasons."""

    def __init__(self, response):
        super().__init__()
        self.response = response


def _client():
    import boto3
    from botocore.config import Config

    # The SDK would wait for a minute.
    return boto3.client("dynamodb", config=Config(connect_timeout=1, read_timeout=2, retries={"mode": "standard"}))


def _call(operation, **request):
    """Calls DynamoDB. Its messages quote values, so only the code leaves this function."""
    try:
        return operation(**request)
    except ClientError as error:
        response = error.response
        code = response.get("Error", {}).get("Code", "unknown")
    except Exception as error:  # Also an answer that cannot be parsed. One event must not fail the whole batch.
        response, code = {}, type(error).__name__
    if code in ("ConditionalCheckFailedException", "TransactionCanceledException"):
        raise _Rejected(response)
    raise Failed("TableFailed", code)


def _explain(response, event, status):
    """What a write means that wrote nothing."""
    if response["Error"]["Code"] == "ConditionalCheckFailedException":
        return _explain_condition(response.get("Item"), event, status)
    reasons = response.get("CancellationReasons") or [{"Code": "TransactionCanceledException"}]
    first, *others = [reason.get("Code") or "None" for reason in reasons]
    # The write of the status decides. A competitor that won has usually made the other conditions false too.
    if first == "ConditionalCheckFailed":
        return _explain_condition(reasons[0].get("Item"), event, status)
    if first != "None":
        raise Failed("TableFailed", first)
    if "ConditionalCheckFailed" in others:
        raise Failed("WritesRefused")
    raise Failed("TableFailed", next((code for code in others if code != "None"), "TransactionCanceledException"))


def _explain_condition(old, event, status):
    found = _found(event, old)
    if found in SETTLED:
        return "AlreadySettled" if found == status else "Contradicted"
    raise Failed("VersionMismatch")


def _is_settled(event, item):
    """Whether `accept` must not be called any more. Raises Failed if the write would fail anyway."""
    if _found(event, item) in SETTLED:
        return True
    is_open = _fingerprint(item) is not None and item.get("version", {}).get("N") == event["sequence"]
    if not is_open:
        raise Failed("VersionMismatch")
    return False


def _found(event, item):
    """The status of the item, if it is the notification of the event."""
    if not item:
        raise Failed("UnknownId")
    fingerprint = _fingerprint(item)
    if fingerprint is not None and fingerprint != event["fingerprint"]:
        raise Failed("OtherNotification")
    return _text(item, "status")


def _fingerprint(item):
    """Its 64 digits; None if somebody removed it by hand."""
    value = item.get("fingerprint", {})
    binary, text = value.get("B"), value.get("S")
    if isinstance(binary, bytes) and len(binary) == FINGERPRINT_BYTES:
        return binary.hex()
    return text if text is not None and FINGERPRINT.fullmatch(text) else None


def _text(item, name):
    return item.get(name, {}).get("S")


def _verdict(accept, event):
    """Only an explicit verdict settles. Exception texts are dropped, because they may quote the payload."""
    try:
        verdict = accept(event)
    except RetryLater:
        raise Failed("RetryLater") from None
    except Exception as error:
        raise Failed("DownstreamFailed", type(error).__name__) from None
    if isinstance(verdict, dict):
        names = set(verdict)
        if names == {"refused"}:
            return verdict
        if verdict.get("accepted") is True and names <= {"accepted", "writes"}:
            if isinstance(verdict.get("writes", []), list):
                return verdict
    raise Failed("DownstreamFailed", "NoVerdict")


def _units(records):
    """The events with the sequence numbers of their records. Copies are merged; an unreadable event is None."""
    units = {}
    for position, record in enumerate(records):
        kinesis = record["kinesis"]
        try:
            event = read(base64.b64decode(kinesis["data"], validate=True))
            key = (event["subject"], event["fingerprint"], event["status"], event["sequence"])
        except (Failed, KeyError, TypeError, ValueError):
            event, key = None, position
        units.setdefault(key, (event, []))[1].append(kinesis["sequenceNumber"])
    return list(units.values())


def _lowest(numbers):
    """Lambda retries from the lowest number. They are compared as numbers: as texts, "10" is below "9"."""
    if not all(NUMBER.fullmatch(number) for number in numbers):
        raise ValueError("a failed record has no sequence number: the whole batch fails")
    return min(numbers, key=int)
