"""Runs the golden vectors against onewrite.py. The real boto3 builds and reads the messages; nothing reaches a network.

Arguments: the directory of onewrite.py, and the directory of the vectors. Output: {"met": number, "differences": [names]}.
"""

import io
import json
import logging
import os
import pathlib
import sys
from datetime import datetime

import boto3
from botocore.awsrequest import AWSResponse
from botocore.config import Config

helper, vectors = sys.argv[1:]
sys.path.insert(0, helper)

import onewrite  # noqa: E402

TABLE = "notifications"
# Part of every payload of the vectors. No log line may have it.
PAYLOAD = "8841"


class Body(io.BytesIO):
    def stream(self, *_, **__):
        yield self.read()


class DynamoDB:
    """Records the requests of the client, and gives them the answers of the vector."""

    def __init__(self, calls):
        self.left, self.requests = list(calls), []

    def answer(self, request):
        operation = request.headers["X-Amz-Target"].decode().split(".")[-1]
        body = json.loads(request.body)
        # boto3 creates a new one for each call.
        assert (body.pop("ClientRequestToken", None) is not None) == (operation == "TransactWriteItems")
        answer = self.left.pop(0)["answer"] if self.left else {"status": 500, "body": {}}
        self.requests.append({"operation": operation, "request": body})
        return AWSResponse(request.url, answer["status"], {}, Body(json.dumps(answer["body"]).encode()))


def new_client():
    client = boto3.client(
        "dynamodb",
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        endpoint_url="http://127.0.0.1:9",
        config=Config(retries={"total_max_attempts": 1}),
    )
    client.meta.events.register("before-send.dynamodb", lambda request, **_: dynamodb.answer(request))
    return client


def consumer(vector, **options):
    global dynamodb
    dynamodb = DynamoDB(vector["calls"])
    now = datetime.fromisoformat(vector["now"].replace("Z", "+00:00")).timestamp()
    return onewrite.Consumer(TABLE, client=client, clock=lambda: now, **options)


def set_function_name(name):
    """Gives the consumer its name as Lambda does."""
    os.environ.pop("AWS_LAMBDA_FUNCTION_NAME", None)
    if name is not None:
        os.environ["AWS_LAMBDA_FUNCTION_NAME"] = name


def requests(calls):
    return [{name: call[name] for name in ("operation", "request")} for call in calls]


def run_event(vector):
    try:
        onewrite.read(vector["document"])
        return vector["is_event"]
    except onewrite.Failed as failure:
        return failure.name == "Unreadable" and not vector["is_event"]


def run_settlement(vector):
    set_function_name(None)
    one = consumer(vector, retention_days=vector["retention_days"], name=vector["settled_by"])
    event, verdict = vector["event"], vector["verdict"]
    try:
        if "refused" in verdict:
            outcome = one.refuse(event, verdict["refused"])
        elif "writes" in verdict:
            outcome = one.settle_with(event, verdict["writes"])
        else:
            outcome = one.settle(event)
        failed = False
    except onewrite.Failed as failure:
        outcome, failed = failure.name, True
        assert failure.__cause__ is None and failure.__suppress_context__ or failure.__context__ is None
    expected = (vector["outcome"], vector["must_be_retried"], requests(vector["calls"]))
    return (outcome, failed, dynamodb.requests) == expected


def run_batch(vector):
    accepted = []
    set_function_name(vector["settled_by"])
    one = consumer(vector, checks_state=vector["checks_state"])

    def accept(event):
        accepted.append(event["subject"])
        verdict = vector["verdicts"][event["subject"]]
        match verdict.get("raises"):
            case "an exception":
                raise ValueError(json.dumps(event))
            case "retry later":
                raise onewrite.RetryLater
        return verdict

    response = one.process(vector["batch"], accept)
    expected = (vector["response"], vector["accepted"], requests(vector["calls"]))
    return (response, accepted, dynamodb.requests) == expected


logs = io.StringIO()
client, dynamodb = new_client(), None
# Nothing waits here for a service.
onewrite.time.sleep = lambda seconds: None
logging.basicConfig(stream=logs, level=logging.INFO)
met, differences = 0, []
for name, run in (("events", run_event), ("settlements", run_settlement), ("batches", run_batch)):
    file = json.loads(pathlib.Path(vectors, f"{name}.json").read_text())
    assert file["version"] == onewrite.CONTRACT_VERSION
    for vector in file["vectors"]:
        try:
            is_met = run(vector)
        except Exception:
            is_met = False
        if is_met:
            met += 1
        else:
            differences.append(f"{name}: {vector['name']}")
if PAYLOAD in logs.getvalue() or "ValueError" not in logs.getvalue():
    differences.append("the log")
json.dump({"met": met, "differences": differences}, sys.stdout)
