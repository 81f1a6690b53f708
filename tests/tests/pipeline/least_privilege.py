"""Try actions with each function's role and write the results: {role: {action: error code, or "done"}}.

Standard input has the names of the stack's resources. The environment has the account's own credentials.
"""

import json
import sys

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

resources = json.load(sys.stdin)
table, stream, bucket = resources["table"], resources["stream"], resources["bucket"]
queue, dead, function = resources["queue"], resources["dead_letter_queue"], resources["ingest"]
item = {"notification_id": {"S": "x"}}
key = {"TableName": table, "Key": item}
once = Config(retries={"max_attempts": 0})
account = boto3.client("sts").get_caller_identity()["Account"]

# Calls by IAM action. The actions that a role allows come first. The table's stream is missing, because the emulator
# authorizes its actions by another resource than AWS does.
ACTIONS = {
    "dynamodb:PutItem": ("dynamodb", "put_item", {"TableName": table, "Item": item}),
    "dynamodb:UpdateItem": ("dynamodb", "update_item", {**key, "UpdateExpression": "SET a = :a", "ExpressionAttributeValues": {":a": {"S": "a"}}}),
    "kinesis:PutRecords": ("kinesis", "put_records", {"StreamName": stream, "Records": [{"Data": b"x", "PartitionKey": "x"}]}),
    "kinesis:DescribeStreamSummary": ("kinesis", "describe_stream_summary", {"StreamName": stream}),
    "kinesis:ListShards": ("kinesis", "list_shards", {"StreamName": stream}),
    "sqs:ReceiveMessage": ("sqs", "receive_message", {"QueueUrl": queue}),
    # The batch succeeds, although its entry fails.
    "sqs:ChangeMessageVisibility": ("sqs", "change_message_visibility_batch", {"QueueUrl": queue, "Entries": [{"Id": "0", "ReceiptHandle": "x", "VisibilityTimeout": 0}]}),
    "sqs:GetQueueAttributes": ("sqs", "get_queue_attributes", {"QueueUrl": queue}),
    "s3:PutObject": ("s3", "put_object", {"Bucket": bucket, "Key": "x", "Body": b"x"}),
    "s3:ListBucket": ("s3", "list_objects_v2", {"Bucket": bucket}),
    # No role allows the following actions.
    "dynamodb:DeleteItem": ("dynamodb", "delete_item", key),
    "dynamodb:GetItem": ("dynamodb", "get_item", key),
    "dynamodb:Scan": ("dynamodb", "scan", {"TableName": table}),
    "dynamodb:Query": ("dynamodb", "query", {"TableName": table, "KeyConditionExpression": "notification_id = :a", "ExpressionAttributeValues": {":a": {"S": "x"}}}),
    "dynamodb:BatchGetItem": ("dynamodb", "batch_get_item", {"RequestItems": {table: {"Keys": [item]}}}),
    "dynamodb:BatchWriteItem": ("dynamodb", "batch_write_item", {"RequestItems": {table: [{"DeleteRequest": {"Key": item}}]}}),
    "dynamodb:PartiQLInsert": ("dynamodb", "execute_statement", {"Statement": f"INSERT INTO \"{table}\" VALUE {{'notification_id': 'y'}}"}),
    "dynamodb:PartiQLDelete": ("dynamodb", "execute_statement", {"Statement": f"DELETE FROM \"{table}\" WHERE notification_id = 'x'"}),
    "dynamodb:PartiQLSelect": ("dynamodb", "execute_statement", {"Statement": f"SELECT * FROM \"{table}\""}),
    "dynamodb:DescribeTable": ("dynamodb", "describe_table", {"TableName": table}),
    "dynamodb:UpdateTable": ("dynamodb", "update_table", {"TableName": table, "DeletionProtectionEnabled": False}),
    "dynamodb:UpdateTimeToLive": ("dynamodb", "update_time_to_live", {"TableName": table, "TimeToLiveSpecification": {"Enabled": True, "AttributeName": "created_at"}}),
    "dynamodb:UpdateContinuousBackups": ("dynamodb", "update_continuous_backups", {"TableName": table, "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": False}}),
    "dynamodb:DeleteTable": ("dynamodb", "delete_table", {"TableName": table}),
    "kinesis:PutRecord": ("kinesis", "put_record", {"StreamName": stream, "Data": b"x", "PartitionKey": "x"}),
    "kinesis:UpdateShardCount": ("kinesis", "update_shard_count", {"StreamName": stream, "TargetShardCount": 1, "ScalingType": "UNIFORM_SCALING"}),
    "kinesis:DecreaseStreamRetentionPeriod": ("kinesis", "decrease_stream_retention_period", {"StreamName": stream, "RetentionPeriodHours": 24}),
    "kinesis:DeleteStream": ("kinesis", "delete_stream", {"StreamName": stream}),
    "sqs:SendMessage": ("sqs", "send_message", {"QueueUrl": queue, "MessageBody": "x"}),
    "sqs:SetQueueAttributes": ("sqs", "set_queue_attributes", {"QueueUrl": queue, "Attributes": {"VisibilityTimeout": "0"}}),
    "sqs:PurgeQueue": ("sqs", "purge_queue", {"QueueUrl": queue}),
    "sqs:DeleteQueue": ("sqs", "delete_queue", {"QueueUrl": queue}),
    "sqs:ReceiveMessage of dead letters": ("sqs", "receive_message", {"QueueUrl": dead}),
    "sqs:DeleteMessage of dead letters": ("sqs", "delete_message", {"QueueUrl": dead, "ReceiptHandle": "x"}),
    "sqs:SendMessage to dead letters": ("sqs", "send_message", {"QueueUrl": dead, "MessageBody": "x"}),
    "s3:GetObject": ("s3", "get_object", {"Bucket": bucket, "Key": "x"}),
    "s3:DeleteObject": ("s3", "delete_object", {"Bucket": bucket, "Key": "x"}),
    "s3:PutBucketPolicy": ("s3", "put_bucket_policy", {"Bucket": bucket, "Policy": "{}"}),
    "s3:CreateBucket": ("s3", "create_bucket", {"Bucket": "another-bucket"}),
    "lambda:InvokeFunction": ("lambda", "invoke", {"FunctionName": function, "Payload": b"{}"}),
    "lambda:UpdateFunctionConfiguration": ("lambda", "update_function_configuration", {"FunctionName": function, "Timeout": 3}),
    "lambda:GetFunction": ("lambda", "get_function", {"FunctionName": function}),
    "lambda:ListEventSourceMappings": ("lambda", "list_event_source_mappings", {}),
    "iam:CreateUser": ("iam", "create_user", {"UserName": "x"}),
    "iam:PutRolePolicy": ("iam", "put_role_policy", {"RoleName": "x", "PolicyName": "x", "PolicyDocument": "{}"}),
    "cloudformation:DeleteStack": ("cloudformation", "delete_stack", {"StackName": "another"}),
    "cloudwatch:PutMetricAlarm": ("cloudwatch", "put_metric_alarm", {"AlarmName": "x", "MetricName": "x", "Namespace": "x", "Period": 60, "EvaluationPeriods": 1, "ComparisonOperator": "GreaterThanThreshold", "Threshold": 1, "Statistic": "Sum"}),
    "kms:CreateKey": ("kms", "create_key", {}),
    "secretsmanager:ListSecrets": ("secretsmanager", "list_secrets", {}),
}


def session(arn):
    """Return a session of a role. The role trusts only Lambda, so add the account to its trust policy first."""
    trust = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": f"arn:aws:iam::{account}:root"}}],
    }
    boto3.client("iam").update_assume_role_policy(RoleName=arn.split("/")[-1], PolicyDocument=json.dumps(trust))
    credentials = boto3.client("sts").assume_role(RoleArn=arn, RoleSessionName="trial")["Credentials"]
    return boto3.Session(
        credentials["AccessKeyId"], credentials["SecretAccessKey"], credentials["SessionToken"]
    )


def attempt(role, service, method, parameters):
    try:
        getattr(role.client(service, config=once), method)(**parameters)
        return "done"
    except ClientError as error:
        return error.response["Error"]["Code"]


results = {}
for name in ("ingest", "forward", "complete"):
    arn = boto3.client("lambda").get_function_configuration(FunctionName=resources[name])["Role"]
    role = session(arn)
    results[name] = {action: attempt(role, *call) for action, call in ACTIONS.items()}
json.dump(results, sys.stdout)
