// Ingest with the partial batches of Powertools and one conditional write for each message.
import { BatchProcessor, EventType, processPartialResponse } from "@aws-lambda-powertools/batch";
import { DynamoDBClient } from "@aws-sdk/client-dynamodb";
import { itemOf, putNew } from "./item.mjs";
import { run } from "./runtime.mjs";

const client = new DynamoDBClient({ cacheMiddleware: true });
const table = process.env.TABLE_NAME;
const processor = new BatchProcessor(EventType.SQS);
const store = (record) => putNew(client, table, itemOf(record.messageId, record.body));

run((event, context) =>
  processPartialResponse(event, store, processor, { context, throwOnFullBatchFailure: false }),
);
