/**
 * Consumes a batch with onewrite.mjs, and retries as Lambda does. Argument: onewrite.mjs.
 *
 * Standard input: endpoint, credentials, tables and the batch. Output: {"settled": notifications won, "left": failed records}.
 */
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

import { connect, sdk } from "./dynamodb.mjs";

const { Consumer } = await import(pathToFileURL(process.argv[2]));
const task = JSON.parse(readFileSync(0, "utf8"));
const ATTEMPTS = 200;

const client = connect(task);
const consumer = new Consumer(task.table, { sdk, client, name: "javascript", retentionDays: 1 });
let settled = 0;
for (const name of ["settleWith", "refuse"]) {
  const write = consumer[name].bind(consumer);
  consumer[name] = async (...input) => {
    const outcome = await write(...input);
    settled += outcome === "Settled" ? 1 : 0;
    return outcome;
  };
}

function accept(event) {
  if (event.data.n % task.refused_every === 0) {
    return { refused: "account_closed" };
  }
  const effect = {
    TableName: task.ledger,
    Key: { entry_id: { S: event.subject } },
    UpdateExpression: "ADD effects :one",
    ExpressionAttributeValues: { ":one": { N: "1" } },
  };
  return { accepted: true, writes: [{ Update: effect }] };
}

let records = task.batch.Records;
for (let attempt = 0; attempt < ATTEMPTS && records.length > 0; attempt += 1) {
  const [failure] = (await consumer.process({ Records: records }, accept)).batchItemFailures;
  const isLeft = ({ kinesis }) => failure && BigInt(kinesis.sequenceNumber) >= BigInt(failure.itemIdentifier);
  records = records.filter(isLeft);
}
process.stdout.write(JSON.stringify({ settled, left: records.length }));
