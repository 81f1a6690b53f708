"""Ingest with the partial batches of Powertools and one conditional write for each message."""

import os

import boto3
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from botocore.config import Config

from item import item_of, put_new

# Requests are valid by construction, so botocore need not validate them.
client = boto3.client("dynamodb", config=Config(parameter_validation=False))
table = os.environ["TABLE_NAME"]
processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)


def record_handler(record: SQSRecord) -> None:
    put_new(client, table, item_of(record.message_id, record.body))


def handler(event, context):
    return process_partial_response(event, record_handler, processor, context)
