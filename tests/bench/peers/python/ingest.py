"""Ingest with Powertools: partial batches, and idempotency in a separate table (two more writes per message)."""

import os

import boto3
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.idempotency import (
    DynamoDBPersistenceLayer,
    IdempotencyConfig,
    idempotent_function,
)
from botocore.config import Config

from item import item_of, put_new

# Requests are valid by construction, so botocore need not validate them.
client = boto3.client("dynamodb", config=Config(parameter_validation=False))
table = os.environ["TABLE_NAME"]
processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)
store = DynamoDBPersistenceLayer(table_name=os.environ["IDEMPOTENCY_TABLE"], boto3_client=client)
config = IdempotencyConfig(
    event_key_jmespath="notification_id.S",
    payload_validation_jmespath="fingerprint.S",
    raise_on_no_idempotency_key=True,
)


@idempotent_function(data_keyword_argument="item", config=config, persistence_store=store)
def store_item(item: dict) -> None:
    put_new(client, table, item)


def record_handler(record: SQSRecord) -> None:
    store_item(item=item_of(record.message_id, record.body))


def handler(event, context):
    config.register_lambda_context(context)
    return process_partial_response(event, record_handler, processor, context)
