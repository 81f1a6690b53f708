/**
 * Consumes a batch with onewrite.mjs, and retries as Lambda does. Argument: onewrite.mjs.
 *
 * Standard input: endpoint, credentials, tables and the batch. Output: {"settled": notifications won, "left": failed records}.
 * The SDK is not installed here, so a small client signs and sends the requests.
 */
import { createHash, createHmac, randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const { Consumer } = await import(pathToFileURL(process.argv[2]));
const task = JSON.parse(readFileSync(0, "utf8"));
const ATTEMPTS = 200;

const hmac = (key, text) => createHmac("sha256", key).update(text).digest();
const digest = (text) => createHash("sha256").update(text).digest("hex");

/** Signs a request to the root of the endpoint (AWS Signature Version 4). */
function sign(host, target, body) {
  const time = new Date().toISOString().replace(/[-:]|\.\d{3}/g, "");
  const scope = `${time.slice(0, 8)}/${task.region}/dynamodb/aws4_request`;
  const headers = { host, "x-amz-date": time, "x-amz-target": target };
  const names = Object.keys(headers).join(";");
  const lines = Object.entries(headers).map(([name, value]) => `${name}:${value}\n`);
  const canonical = ["POST", "/", "", lines.join(""), names, digest(body)].join("\n");
  const text = ["AWS4-HMAC-SHA256", time, scope, digest(canonical)].join("\n");
  const key = scope.split("/").reduce(hmac, `AWS4${task.secret_access_key}`);
  const signature = createHmac("sha256", key).update(text).digest("hex");
  const credential = `${task.access_key_id}/${scope}`;
  headers.authorization = `AWS4-HMAC-SHA256 Credential=${credential}, SignedHeaders=${names}, Signature=${signature}`;
  return headers;
}

class Command {
  constructor(input) {
    this.input = input;
  }
}

const sdk = {
  UpdateItemCommand: class extends Command {
    operation = "UpdateItem";
  },
  TransactWriteItemsCommand: class extends Command {
    operation = "TransactWriteItems";
  },
  BatchGetItemCommand: class extends Command {
    operation = "BatchGetItem";
  },
};

const client = {
  async send({ operation, input }) {
    const isTransaction = operation === "TransactWriteItems";
    const body = JSON.stringify(isTransaction ? { ...input, ClientRequestToken: randomUUID() } : input);
    const headers = sign(new URL(task.endpoint).host, `DynamoDB_20120810.${operation}`, body);
    headers["content-type"] = "application/x-amz-json-1.0";
    const response = await fetch(task.endpoint, { method: "POST", headers, body });
    const answer = await response.json();
    if (response.ok) {
      return answer;
    }
    const { __type: type, message, ...members } = answer;
    throw Object.assign(new Error(message), members, { name: type.split("#").pop() });
  },
};

const consumer = new Consumer(task.table, { sdk, client, retentionDays: 1 });
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
