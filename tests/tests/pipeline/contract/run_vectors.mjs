/**
 * Runs the golden vectors against onewrite.mjs, with a client in the place of the SDK's, which reads answers as the SDK does.
 *
 * Arguments: onewrite.mjs, and the directory of the vectors. Output: {"met": number, "differences": [names]}.
 */
import { deepStrictEqual } from "node:assert";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

import { fromWire, toWire } from "./wire.mjs";

const [helper, vectors] = process.argv.slice(2);
const { CONTRACT_VERSION, Consumer, Failed, RetryLater, read } = await import(pathToFileURL(helper));

const TABLE = "notifications";
// Part of every payload of the vectors. No log line may have it.
const PAYLOAD = "8841";

class Command {
  constructor(input) {
    this.input = input;
  }
}

const sdk = {
  UpdateItemCommand: class extends Command {},
  TransactWriteItemsCommand: class extends Command {},
  BatchGetItemCommand: class extends Command {},
};

/** The operation of a command. The SDK's classes are found by identity, because a bundler may rename them. */
const operation = (command) =>
  Object.keys(sdk).find((name) => command.constructor === sdk[name]).replace(/Command$/, "");

/** A client whose requests are recorded and get the answers of the vector. */
class DynamoDB {
  constructor(calls) {
    this.left = [...calls];
    this.requests = [];
  }

  async send(command) {
    this.requests.push({ operation: operation(command), request: JSON.parse(toWire(command.input)) });
    const { status, body } = fromWire(JSON.stringify(this.left.shift()?.answer ?? { status: 500, body: {} }));
    if (status === 200) {
      return body;
    }
    // The SDK names an error by the end of its type, and gives it the members of the answer.
    const { __type: type, message, ...members } = body;
    throw Object.assign(new Error(message), members, { name: type.split("#").pop() });
  }
}

const consumer = (vector, client, options) =>
  new Consumer(TABLE, { sdk, client, now: () => new Date(vector.now), ...options });

/** Gives the consumer its name as Lambda does. */
function setFunctionName(name) {
  delete process.env.AWS_LAMBDA_FUNCTION_NAME;
  if (name !== null) {
    process.env.AWS_LAMBDA_FUNCTION_NAME = name;
  }
}

const requests = (calls) => calls.map(({ operation, request }) => ({ operation, request }));

function runEvent(vector) {
  let isEvent = true;
  try {
    read(vector.document);
  } catch (failure) {
    isEvent = !(failure instanceof Failed && failure.name === "Unreadable");
  }
  deepStrictEqual(isEvent, vector.is_event);
}

async function runSettlement(vector) {
  const client = new DynamoDB(vector.calls);
  setFunctionName(null);
  const one = consumer(vector, client, { retentionDays: vector.retention_days, name: vector.settled_by });
  const { event, verdict } = vector;
  let outcome;
  let failed = false;
  try {
    if (verdict.refused !== undefined) {
      outcome = await one.refuse(event, verdict.refused);
    } else if (verdict.writes !== undefined) {
      outcome = await one.settleWith(event, verdict.writes);
    } else {
      outcome = await one.settle(event);
    }
  } catch (failure) {
    if (!(failure instanceof Failed)) {
      throw failure;
    }
    outcome = failure.name;
    failed = true;
  }
  deepStrictEqual([outcome, failed], [vector.outcome, vector.must_be_retried]);
  deepStrictEqual(client.requests, requests(vector.calls));
}

async function runBatch(vector) {
  const client = new DynamoDB(vector.calls);
  setFunctionName(vector.settled_by);
  const accepted = [];
  const accept = (event) => {
    accepted.push(event.subject);
    const verdict = vector.verdicts[event.subject];
    switch (verdict.raises) {
      case "an exception":
        throw new TypeError(JSON.stringify(event));
      case "retry later":
        throw new RetryLater();
      default:
        return verdict;
    }
  };
  const response = await consumer(vector, client, { checksState: vector.checks_state }).process(vector.batch, accept);
  deepStrictEqual(response, vector.response);
  deepStrictEqual(accepted, vector.accepted);
  deepStrictEqual(client.requests, requests(vector.calls));
}

const logs = [];
console.warn = console.error = (line) => logs.push(line);
let met = 0;
const differences = [];
for (const [name, run] of [["events", runEvent], ["settlements", runSettlement], ["batches", runBatch]]) {
  const file = JSON.parse(readFileSync(join(vectors, `${name}.json`), "utf8"));
  deepStrictEqual(file.version, CONTRACT_VERSION);
  for (const vector of file.vectors) {
    try {
      await run(vector);
      met += 1;
    } catch (error) {
      differences.push(`${name}: ${vector.name}: ${error.message}`);
    }
  }
}
const log = logs.join("\n");
if (log.includes(PAYLOAD) || !log.includes("TypeError")) {
  differences.push("the log");
}
process.stdout.write(JSON.stringify({ met, differences }));
