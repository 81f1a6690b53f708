// Ingest with Powertools: partial batches, and idempotency in a separate table (two more writes per message).
import { BatchProcessor, EventType, processPartialResponse } from "@aws-lambda-powertools/batch";
import { IdempotencyConfig, makeIdempotent } from "@aws-lambda-powertools/idempotency";
import { DynamoDBPersistenceLayer } from "@aws-lambda-powertools/idempotency/dynamodb";
import { DynamoDBClient } from "@aws-sdk/client-dynamodb";
import { itemOf, putNew } from "./item.mjs";
import { run } from "./runtime.mjs";

const client = new DynamoDBClient({ cacheMiddleware: true });
const table = process.env.TABLE_NAME;
const processor = new BatchProcessor(EventType.SQS);
const config = new IdempotencyConfig({
  eventKeyJmesPath: "notification_id.S",
  payloadValidationJmesPath: "fingerprint.S",
  throwOnNoIdempotencyKey: true,
});
const persistenceStore = new DynamoDBPersistenceLayer({
  tableName: process.env.IDEMPOTENCY_TABLE,
  awsSdkV3Client: client,
});
const store = makeIdempotent((item) => putNew(client, table, item), { persistenceStore, config });

run((event, context) => {
  config.registerLambdaContext(context);
  return processPartialResponse(event, (record) => store(itemOf(record.messageId, record.body)), processor, {
    context,
    throwOnFullBatchFailure: false,
  });
});
