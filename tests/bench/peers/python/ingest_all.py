"""Like ingest_plain, but with concurrent writes. They run in threads, because boto3 has no other way.

A warm batch takes less time, but each message more CPU. The first call of every thread opens a connection.
"""

import asyncio
import os

import boto3
from aws_lambda_powertools.utilities.batch import AsyncBatchProcessor, EventType, async_process_partial_response
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from botocore.config import Config

from item import item_of, put_new

# Requests are valid by construction, so botocore need not validate them.
client = boto3.client("dynamodb", config=Config(parameter_validation=False))
table = os.environ["TABLE_NAME"]
processor = AsyncBatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)


async def record_handler(record: SQSRecord) -> None:
    await asyncio.to_thread(put_new, client, table, item_of(record.message_id, record.body))


def handler(event, context):
    return async_process_partial_response(event, record_handler, processor, context)
