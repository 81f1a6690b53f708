/**
 * A small client of DynamoDB, because the SDK is not installed here: it signs and sends the requests.
 */
import { createHash, createHmac, randomUUID } from "node:crypto";

import { fromWire, toWire } from "./wire.mjs";

const hmac = (key, text) => createHmac("sha256", key).update(text).digest();
const digest = (text) => createHash("sha256").update(text).digest("hex");

/** Signs a request to the root of the endpoint (AWS Signature Version 4). */
function sign(task, target, body) {
  const { host } = new URL(task.endpoint);
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

export const sdk = {
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

/** A client for the endpoint, the region and the credentials of a task. */
export const connect = (task) => ({
  async send({ operation, input }) {
    const isTransaction = operation === "TransactWriteItems";
    const body = toWire(isTransaction ? { ...input, ClientRequestToken: randomUUID() } : input);
    const headers = sign(task, `DynamoDB_20120810.${operation}`, body);
    headers["content-type"] = "application/x-amz-json-1.0";
    const response = await fetch(task.endpoint, { method: "POST", headers, body });
    const answer = fromWire(await response.text());
    if (response.ok) {
      return answer;
    }
    const { __type: type, message, ...members } = answer;
    throw Object.assign(new Error(message), members, { name: type.split("#").pop() });
  },
});
