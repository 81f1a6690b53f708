"""Deploys a template, or new code, to the emulator. Runs in the emulator's environment, which has boto3.

    deploy.py deploy SPECIFICATION    prints the outputs of the stack as a JSON object
    deploy.py redeploy SPECIFICATION  the same for a running stack, with other parameters; the code stays
    deploy.py update SPECIFICATION    replaces the code of functions; the emulator ends every instance of the old code
    deploy.py targets SPECIFICATION   creates what the stack will deliver to; prints its ARNs and the URLs of the queues

SPECIFICATION is a JSON file (see functions.rs and downstream.rs). A function's package is a script that executes its
program, so that no large file is copied. The files of a release package are uploaded instead, if they are given.
"""

import io
import json
import os
import shlex
import sys
import time
import zipfile

import boto3
import botocore.exceptions

POLL_SECONDS = 0.1


def package(program):
    """A package whose `bootstrap` executes `program`."""
    bootstrap = zipfile.ZipInfo("bootstrap")
    bootstrap.external_attr = 0o755 << 16
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(bootstrap, f"#!/bin/sh\nexec {shlex.quote(program)}\n")
    return buffer.getvalue()


def deploy(specification):
    s3, bucket = boto3.client("s3"), specification["bucket"]
    s3.create_bucket(Bucket=bucket)
    for name, program in specification["functions"].items():
        s3.put_object(Bucket=bucket, Key=f"{name}.zip", Body=package(program))
    for key, path in specification["packages"].items():
        with open(path, "rb") as file:
            s3.put_object(Bucket=bucket, Key=key, Body=file.read())
    # A template in the request may have 51,200 bytes at most.
    with open(specification["template"], "rb") as template:
        s3.put_object(Bucket=bucket, Key="template.yaml", Body=template.read())
    change_stack("create_stack", specification, DisableRollback=True)


def redeploy(specification):
    # Another `CodeUri` would replace the code, so the template is the one of the first deployment.
    change_stack("update_stack", specification)


def change_stack(operation, specification, **options):
    cloudformation, stack_name = boto3.client("cloudformation"), specification["stack_name"]
    endpoint, bucket = cloudformation.meta.endpoint_url, specification["bucket"]
    try:
        getattr(cloudformation, operation)(
            StackName=stack_name,
            TemplateURL=f"{endpoint}/{bucket}/template.yaml",
            Parameters=[
                {"ParameterKey": key, "ParameterValue": value} for key, value in specification["parameters"].items()
            ],
            Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
            **options,
        )
    except botocore.exceptions.ClientError as error:
        sys.exit(error.response["Error"]["Message"])
    stack = describe(cloudformation, stack_name)
    while stack["StackStatus"].endswith("_IN_PROGRESS"):
        time.sleep(POLL_SECONDS)
        stack = describe(cloudformation, stack_name)
    if stack["StackStatus"] not in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
        sys.exit("\n".join([*failures(cloudformation, stack_name), stack["StackStatus"]]))
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
    print(json.dumps(outputs))


def describe(cloudformation, stack_name):
    return cloudformation.describe_stacks(StackName=stack_name)["Stacks"][0]


def failures(cloudformation, stack_name):
    for event in reversed(cloudformation.describe_stack_events(StackName=stack_name)["StackEvents"]):
        if event["ResourceStatus"].endswith("_FAILED"):
            yield f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason', '')}"


def update(specification):
    client = boto3.client("lambda")
    for name, program in specification["functions"].items():
        client.update_function_code(FunctionName=name, ZipFile=package(program))
        while client.get_function_configuration(FunctionName=name)["LastUpdateStatus"] == "InProgress":
            time.sleep(POLL_SECONDS)


def targets(specification):
    arns, queue_urls = [], {}
    if function := specification["function"]:
        arns += [create_table(function["table"]), create_function(function)]
    for name in specification["queues"]:
        queue_urls[name], arn = create_queue(name)
        arns.append(arn)
    # A name that is given twice is one queue.
    print(json.dumps({"arns": list(dict.fromkeys(arns)), "queue_urls": queue_urls}))


def create_queue(name):
    sqs = boto3.client("sqs")
    url = sqs.create_queue(QueueName=name, Attributes={"FifoQueue": "true"} if name.endswith(".fifo") else {})["QueueUrl"]
    return url, sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]


def create_table(table):
    key = table["key"]
    return boto3.client("dynamodb").create_table(
        TableName=table["name"],
        AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"}],
        KeySchema=[{"AttributeName": key, "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )["TableDescription"]["TableArn"]


def create_function(function):
    name, client = function["name"], boto3.client("lambda")
    statement = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    # The role has no permissions: `complete` makes the writes of the function.
    role = boto3.client("iam").create_role(
        RoleName=f"{name}-target",
        AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
    )
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.write(function["file"], os.path.basename(function["file"]))
    arn = client.create_function(
        FunctionName=name,
        Role=role["Role"]["Arn"],
        Runtime=function["runtime"],
        Handler=f"{name}.handler",
        Code={"ZipFile": buffer.getvalue()},
        Environment={"Variables": {"LEDGER_TABLE_NAME": function["table"]["name"]}},
    )["FunctionArn"]
    while client.get_function_configuration(FunctionName=name)["State"] == "Pending":
        time.sleep(POLL_SECONDS)
    return arn


if __name__ == "__main__":
    with open(sys.argv[2], "rb") as file:
        commands = {"deploy": deploy, "redeploy": redeploy, "update": update, "targets": targets}
        commands[sys.argv[1]](json.load(file))
