"""Makes what the next deployment deploys: the first version, or one whose programs have another hash and another location.

Reads {"version": a name, or null for the first version}. The bucket and the keys are those of `cargo local`.
"""

import io
import json
import sys
import zipfile

import boto3

BUCKET = "onewrite-local-artifacts"
TEMPLATE, FIRST = "template.yaml", "first/template.yaml"

s3 = boto3.client("s3")


def read(key):
    return s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()


def write(key, content):
    s3.put_object(Bucket=BUCKET, Key=key, Body=content)


version = json.load(sys.stdin)["version"]
if version is None:
    write(TEMPLATE, read(FIRST))
    sys.exit()

template = read(TEMPLATE)
write(FIRST, template)
for name in ("ingest", "forward", "complete"):
    package = io.BytesIO(read(f"{name}.zip"))
    with zipfile.ZipFile(package, "a") as archive:
        archive.writestr("version", version)
    write(f"{version}/{name}.zip", package.getvalue())
    before, after = (f"s3://{BUCKET}/{prefix}{name}.zip".encode() for prefix in ("", f"{version}/"))
    if before not in template:
        sys.exit(f"the template does not have {before}")
    template = template.replace(before, after)
write(TEMPLATE, template)
