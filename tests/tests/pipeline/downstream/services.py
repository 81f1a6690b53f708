"""Creates a state machine, an event bus and a topic, or lists the executions.

Standard input has the command and the URL of the queue that subscribes to the bus and the topic.
"""

import json
import sys

import boto3

given = json.load(sys.stdin)
states = boto3.client("stepfunctions")


def create(queue_url):
    sqs, events, sns = boto3.client("sqs"), boto3.client("events"), boto3.client("sns")
    queue = sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    services = {"Service": ["events.amazonaws.com", "sns.amazonaws.com"]}
    statement = {"Effect": "Allow", "Principal": services, "Action": "sqs:SendMessage", "Resource": queue}
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    sqs.set_queue_attributes(QueueUrl=queue_url, Attributes={"Policy": json.dumps(policy)})
    trust = {"Effect": "Allow", "Principal": {"Service": "states.amazonaws.com"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    role = boto3.client("iam").create_role(RoleName="workflow", AssumeRolePolicyDocument=document)["Role"]["Arn"]
    definition = {"StartAt": "End", "States": {"End": {"Type": "Pass", "End": True}}}
    states.create_state_machine(name="workflow", definition=json.dumps(definition), roleArn=role)
    events.create_event_bus(Name="bus")
    events.put_rule(Name="all", EventBusName="bus", EventPattern=json.dumps({"detail": {"status": ["INIT"]}}))
    events.put_targets(Rule="all", EventBusName="bus", Targets=[{"Id": "queue", "Arn": queue}])
    topic = sns.create_topic(Name="topic")["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue)


def executions():
    machine = states.list_state_machines()["stateMachines"][0]["stateMachineArn"]
    found = states.list_executions(stateMachineArn=machine, maxResults=1000)["executions"]
    inputs = (states.describe_execution(executionArn=execution["executionArn"])["input"] for execution in found)
    print(json.dumps([json.loads(text)["subject"] for text in inputs]))


if given["command"] == "create":
    create(given["queue_url"])
else:
    executions()
