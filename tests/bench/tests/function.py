"""A function for the tests of the benchmark: one call for each record. FAILS and ENDS simulate errors."""
import json
import os
import ssl
import sys
import urllib.request

RUNTIME = f"http://{os.environ['AWS_LAMBDA_RUNTIME_API']}/2018-06-01/runtime/invocation"
TRUST = ssl.create_default_context(cafile=os.environ["SSL_CERT_FILE"])

if os.environ.get("ENDS"):
    sys.exit(3)
while True:
    with urllib.request.urlopen(f"{RUNTIME}/next") as event:
        request_id = event.headers["lambda-runtime-aws-request-id"]
        records = json.load(event)["Records"]
    for _ in records:
        headers = {"x-amz-target": "DynamoDB_20120810.PutItem"}
        call = urllib.request.Request(os.environ["AWS_ENDPOINT_URL_DYNAMODB"], b"{}", headers)
        urllib.request.urlopen(call, context=TRUST).read()
    failures = [{"itemIdentifier": "m"}] if os.environ.get("FAILS") else []
    response = json.dumps({"batchItemFailures": failures}).encode()
    urllib.request.urlopen(urllib.request.Request(f"{RUNTIME}/{request_id}/response", response)).read()
