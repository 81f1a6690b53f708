"""A small client of DynamoDB: boto3 takes half a second to start, and `onewrite conform` starts hundreds of consumers."""

import base64
import hashlib
import hmac
import http.client
import json
import os
import time
import uuid
from urllib.parse import urlsplit

from botocore.exceptions import ClientError


def _sign(host, target, body):
    """The headers of a request to the root of the endpoint (AWS Signature Version 4)."""
    now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    scope = [now[:8], os.environ["AWS_REGION"], "dynamodb", "aws4_request"]
    headers = {"host": host, "x-amz-date": now, "x-amz-target": target}
    names, lines = ";".join(headers), "".join(f"{name}:{value}\n" for name, value in headers.items())
    canonical = "\n".join(["POST", "/", "", lines, names, hashlib.sha256(body).hexdigest()])
    text = "\n".join(["AWS4-HMAC-SHA256", now, "/".join(scope), hashlib.sha256(canonical.encode()).hexdigest()])
    key = ("AWS4" + os.environ["AWS_SECRET_ACCESS_KEY"]).encode()
    for part in [*scope, text]:
        key = hmac.digest(key, part.encode(), "sha256")
    credential = "/".join([os.environ["AWS_ACCESS_KEY_ID"], *scope])
    signed = f"Credential={credential}, SignedHeaders={names}, Signature={key.hex()}"
    return {**headers, "authorization": f"AWS4-HMAC-SHA256 {signed}", "content-type": "application/x-amz-json-1.0"}


def _to_bytes(value):
    """Values of the type B, which JSON has in Base64."""
    return {"B": base64.b64decode(value["B"])} if isinstance(value.get("B"), str) else value


class Client:
    """Has the methods of a client of boto3, and does not retry."""

    def __getattr__(self, name):
        operation = "".join(word.capitalize() for word in name.split("_"))
        return lambda **request: self._call(operation, request)

    def _call(self, operation, request):
        if operation == "TransactWriteItems":
            request.setdefault("ClientRequestToken", str(uuid.uuid4()))
        body = json.dumps(request, default=lambda value: base64.b64encode(value).decode()).encode()
        host = urlsplit(os.environ["AWS_ENDPOINT_URL"]).netloc
        connection = http.client.HTTPConnection(host, timeout=10)
        try:
            connection.request("POST", "/", body, _sign(host, f"DynamoDB_20120810.{operation}", body))
            response = connection.getresponse()
            answer = json.loads(response.read(), object_hook=_to_bytes)
        finally:
            connection.close()
        if response.status == 200:
            return answer
        code = answer["__type"].rsplit("#", 1)[-1]
        raise ClientError({**answer, "Error": {"Code": code}}, operation)
