/**
 * Settles the notifications of a onewrite stack from your own consumer of its Kinesis stream (contract version 1).
 *
 * Copy this file. It needs `@aws-sdk/client-dynamodb` (version 3), which Lambda's Node.js runtimes have, and Node.js 20 or
 * newer. As a Lambda function:
 *
 *     import { Consumer } from "./onewrite.mjs";
 *
 *     const consumer = new Consumer("notifications-table", { retentionDays: 30 });
 *
 *     async function accept(event) {
 *       // Your work, with event.subject as its idempotency key.
 *       return { accepted: true };
 *     }
 *
 *     export const handler = (batch) => consumer.process(batch, accept);
 *
 * `accept` returns {accepted: true}, {accepted: true, writes: [...]} or {refused: "code"}. An exception fails only its event.
 * No log line and no error of this module contains a payload.
 *
 * `JSON.parse` rounds integers above 2^53. If your payloads have such numbers, pass a parser of your own as `parse`.
 */

export const CONTRACT_VERSION = 1;

// TransactWriteItems takes 100 writes (DynamoDB API reference). One of them is the status.
const MAX_WRITES = 99;
// BatchGetItem takes 100 keys (DynamoDB API reference).
const MAX_KEYS = 100;
const MAX_READS = 5;
const FIRST_PAUSE_MILLIS = 50;
const SECONDS_PER_DAY = 86_400;

const SUFFIXES = new Map([["INIT", ".init"], ["DONE", ".done"], ["REFUSED", ".refused"]]);
const SETTLED = ["DONE", "REFUSED"];
const FINGERPRINT = /^[0-9a-f]{64}$/;
const VERSION = /^[1-9][0-9]*$/;
const REFUSAL = /^[a-z0-9_.-]{1,64}$/;
const NUMBER = /^[0-9]+$/;
const NAME = /^[!-~]([ -~]{0,62}[!-~])?$/;
const FINGERPRINT_BYTES = 32;
// The fingerprint is binary in new items, and text in items that an older version of onewrite has stored.
const CONDITION =
  "attribute_exists(notification_id) AND #status = :init AND version = :seen" +
  " AND fingerprint IN (:fingerprint, :fingerprint_text)";

/** The notification is not known to be settled, so its event must be retried. */
export class Failed extends Error {
  constructor(name, code) {
    super(code === undefined ? name : `${name}: ${code}`);
    this.name = name;
    this.code = code;
  }
}

/** Throw it in `accept` if your receiver is busy: the batch ends there and is retried. */
export class RetryLater extends Error {}

/** Parses an event, given as text or bytes. Throws `Failed("Unreadable")`. */
export function read(data, parse = JSON.parse) {
  let event;
  try {
    event = parse(typeof data === "string" ? data : new TextDecoder("utf-8", { fatal: true }).decode(data));
  } catch {
    throw new Failed("Unreadable");
  }
  if (!isConsistent(event)) {
    throw new Failed("Unreadable");
  }
  return event;
}

function isConsistent(event) {
  if (!isObject(event)) {
    return false;
  }
  const suffix = SUFFIXES.get(event.status);
  const matches = (pattern, text) => typeof text === "string" && pattern.test(text);
  return (
    suffix !== undefined &&
    typeof event.subject === "string" &&
    event.subject !== "" &&
    event.specversion === "1.0" &&
    event.datacontenttype === "application/json" &&
    event.id === `${event.subject}/${event.status}` &&
    event.partitionkey === event.subject &&
    typeof event.type === "string" &&
    event.type.endsWith(suffix) &&
    event.type !== suffix &&
    matches(VERSION, event.sequence) &&
    matches(FINGERPRINT, event.fingerprint) &&
    Object.hasOwn(event, "data")
  );
}

/** Settles notifications of one table. `retentionDays` must be DoneRetentionDays of the stack. */
export class Consumer {
  #tableName;
  #name;
  #options;
  #sdk;
  #client;

  /**
   * `name` is stored as `settled_by`, 1 to 64 characters of ASCII. Without it, a Lambda function stores its own name.
   * `checksState: false` saves the read of the current states. Use it only if every effect is in `writes`.
   */
  constructor(tableName, options = {}) {
    this.#tableName = tableName;
    this.#name = options.name || process.env.AWS_LAMBDA_FUNCTION_NAME;
    if (this.#name && !NAME.test(this.#name)) {
      throw new Error("the name of a consumer has 1 to 64 printable characters of ASCII, without spaces at its ends");
    }
    this.#options = { retentionDays: 0, checksState: true, now: () => new Date(), parse: JSON.parse, ...options };
    this.#sdk = options.sdk;
    this.#client = options.client;
  }

  /** Moves INIT to DONE. Returns "Settled", "AlreadySettled", "Contradicted" or "Ignored"; throws `Failed`. */
  settle(event) {
    return this.#write(event, "DONE");
  }

  /** The same, together with up to 99 entries of TransactWriteItems: all of them are committed, or none. */
  settleWith(event, writes) {
    return this.#write(event, "DONE", { writes });
  }

  /** Moves INIT to REFUSED for good. The code has 1 to 64 of the characters a-z, 0-9, "_", "-" and ".". */
  async refuse(event, code) {
    if (typeof code !== "string" || !REFUSAL.test(code)) {
      throw new Failed("DownstreamFailed", "InvalidRefusal");
    }
    return this.#write(event, "REFUSED", { refusal: code });
  }

  /** Calls `accept` for each INIT event of a Lambda batch and settles its notification. Returns the response. */
  async process(batch, accept) {
    const units = this.#units(batch.Records);
    const states = await this.#states(units.filter(({ event }) => event?.status === "INIT"));
    const failed = [];
    let isStopped = false;
    for (const { event, numbers } of units) {
      try {
        await this.#processEvent(event, states, accept, isStopped);
      } catch (failure) {
        if (!(failure instanceof Failed)) {
          throw failure;
        }
        isStopped ||= failure.name === "RetryLater";
        log("warn", { notification_id: event?.subject, sequence_number: numbers[0], failure: failure.message });
        failed.push(...numbers);
      }
    }
    return { batchItemFailures: failed.length === 0 ? [] : [{ itemIdentifier: lowest(failed) }] };
  }

  async #processEvent(event, states, accept, isStopped) {
    if (event === undefined) {
      throw new Failed("Unreadable");
    }
    if (event.status !== "INIT") {
      return;
    }
    if (this.#options.checksState) {
      if (states === undefined) {
        throw new Failed("StateUnknown");
      }
      if (isSettled(event, states.get(event.subject))) {
        return;
      }
    }
    if (isStopped) {
      throw new Failed("Postponed");
    }
    const { refused, writes = [] } = await verdict(accept, event);
    const outcome = await (refused === undefined ? this.settleWith(event, writes) : this.refuse(event, refused));
    if (outcome === "Contradicted") {
      log("error", { notification_id: event.subject, failure: "decided otherwise than before; the first decision stays" });
    }
  }

  /** The events with the sequence numbers of their records. Copies are merged; an unreadable event is undefined. */
  #units(records) {
    const units = new Map();
    records.forEach(({ kinesis }, position) => {
      let event;
      let key = position;
      try {
        event = read(Buffer.from(kinesis.data, "base64"), this.#options.parse);
        key = JSON.stringify([event.subject, event.fingerprint, event.status, event.sequence]);
      } catch {
        event = undefined;
      }
      const unit = units.get(key) ?? { event, numbers: [] };
      unit.numbers.push(kinesis.sequenceNumber);
      units.set(key, unit);
    });
    return [...units.values()];
  }

  /** The current items by id, or undefined if they are not known. */
  async #states(units) {
    if (!this.#options.checksState) {
      return undefined;
    }
    // The order of the code units is the order of bytes, because ids are ASCII.
    const ids = [...new Set(units.map(({ event }) => event.subject))].sort();
    const items = new Map();
    try {
      for (let start = 0; start < ids.length; start += MAX_KEYS) {
        await this.#read(ids.slice(start, start + MAX_KEYS), items);
      }
    } catch (failure) {
      if (!(failure instanceof Failed)) {
        throw failure;
      }
      log("warn", { failure: `the current states are not known: ${failure.message}` });
      return undefined;
    }
    return items;
  }

  async #read(ids, items) {
    let left = {
      [this.#tableName]: {
        Keys: ids.map((id) => ({ notification_id: { S: id } })),
        ConsistentRead: true,
        ProjectionExpression: "notification_id, #status, version, fingerprint",
        ExpressionAttributeNames: { "#status": "status" },
      },
    };
    for (let attempt = 0; attempt < MAX_READS; attempt += 1) {
      if (attempt > 0) {
        await new Promise((resolve) => setTimeout(resolve, FIRST_PAUSE_MILLIS * 2 ** (attempt - 1)));
      }
      const output = await this.#call("BatchGetItemCommand", { RequestItems: left });
      for (const item of output.Responses?.[this.#tableName] ?? []) {
        items.set(item.notification_id?.S, item);
      }
      left = output.UnprocessedKeys ?? {};
      if (Object.keys(left).length === 0) {
        return;
      }
    }
    throw new Failed("TableFailed", "UnprocessedKeys");
  }

  async #write(event, status, { refusal, writes = [] } = {}) {
    if (event.status !== "INIT") {
      return "Ignored";
    }
    if (writes.length > MAX_WRITES) {
      throw new Failed("TableFailed", "TooManyWrites");
    }
    const update = this.#update(event, status, refusal);
    try {
      if (writes.length > 0) {
        // The SDK creates a client request token per call. A token derived from the id would let two competing consumers
        // win.
        await this.#call("TransactWriteItemsCommand", { TransactItems: [{ Update: update }, ...writes] });
      } else {
        await this.#call("UpdateItemCommand", update);
      }
    } catch (rejected) {
      if (!(rejected instanceof Rejected)) {
        throw rejected;
      }
      return explain(rejected.error, event, status);
    }
    return "Settled";
  }

  #update(event, status, refusal) {
    const now = this.#options.now();
    const version = BigInt(event.sequence);
    let update = "SET #status = :settled, version = :next, updated_at = :now";
    const values = {
      ":init": { S: "INIT" },
      ":settled": { S: status },
      ":fingerprint": { B: Buffer.from(event.fingerprint, "hex") },
      ":fingerprint_text": { S: event.fingerprint },
      ":seen": { N: String(version) },
      ":next": { N: String(version + 1n) },
      ":now": { S: now.toISOString() },
    };
    if (refusal !== undefined) {
      update += ", refusal = :refusal";
      values[":refusal"] = { S: refusal };
    }
    if (this.#name) {
      update += ", settled_by = :settled_by";
      values[":settled_by"] = { S: this.#name };
    }
    if (this.#options.retentionDays > 0) {
      update += ", expires_at = :expires";
      const seconds = Math.floor(now.getTime() / 1_000) + this.#options.retentionDays * SECONDS_PER_DAY;
      values[":expires"] = { N: String(seconds) };
    }
    return {
      TableName: this.#tableName,
      Key: { notification_id: { S: event.subject } },
      UpdateExpression: update,
      ConditionExpression: CONDITION,
      ExpressionAttributeNames: { "#status": "status" },
      ExpressionAttributeValues: values,
      // The existing item decides what a failed condition means.
      ReturnValuesOnConditionCheckFailure: "ALL_OLD",
    };
  }

  /** Calls DynamoDB. Its messages quote values, so only the name of an error leaves this method. */
  async #call(command, request) {
    this.#sdk ??= await import("@aws-sdk/client-dynamodb");
    this.#client ??= new this.#sdk.DynamoDBClient({
      // The SDK would wait without a limit. `socketTimeout` limits the time without data in every version of the SDK.
      requestHandler: { connectionTimeout: 1_000, socketTimeout: 2_000 },
    });
    try {
      return await this.#client.send(new this.#sdk[command](request));
    } catch (error) {
      if (["ConditionalCheckFailedException", "TransactionCanceledException"].includes(error.name)) {
        throw new Rejected(error);
      }
      throw new Failed("TableFailed", error.name);
    }
  }
}

/** DynamoDB answered that it wrote nothing, with reasons. */
class Rejected extends Error {
  constructor(error) {
    super();
    this.error = error;
  }
}

/** What a write means that wrote nothing. */
function explain(error, event, status) {
  if (error.name === "ConditionalCheckFailedException") {
    return explainCondition(error.Item, event, status);
  }
  const [first, ...others] = error.CancellationReasons ?? [];
  const code = (reason) => reason.Code ?? "None";
  if (first === undefined) {
    throw new Failed("TableFailed", error.name);
  }
  // The write of the status decides. A competitor that won has usually made the other conditions false too.
  if (code(first) === "ConditionalCheckFailed") {
    return explainCondition(first.Item, event, status);
  }
  if (code(first) !== "None") {
    throw new Failed("TableFailed", code(first));
  }
  const codes = others.map(code).filter((one) => one !== "None");
  if (codes.includes("ConditionalCheckFailed")) {
    throw new Failed("WritesRefused");
  }
  throw new Failed("TableFailed", codes[0] ?? error.name);
}

function explainCondition(old, event, status) {
  const found = foundStatus(event, old);
  if (SETTLED.includes(found)) {
    return found === status ? "AlreadySettled" : "Contradicted";
  }
  throw new Failed("VersionMismatch");
}

/** Whether `accept` must not be called any more. Throws `Failed` if the write would fail anyway. */
function isSettled(event, item) {
  if (SETTLED.includes(foundStatus(event, item))) {
    return true;
  }
  if (fingerprint(item) === undefined || item.version?.N !== event.sequence) {
    throw new Failed("VersionMismatch");
  }
  return false;
}

/** The status of the item, if it is the notification of the event. */
function foundStatus(event, item) {
  if (item === undefined || Object.keys(item).length === 0) {
    throw new Failed("UnknownId");
  }
  const found = fingerprint(item);
  if (found !== undefined && found !== event.fingerprint) {
    throw new Failed("OtherNotification");
  }
  return item.status?.S;
}

/** Its 64 digits; undefined if somebody removed it by hand. */
function fingerprint(item) {
  const { B: binary, S: text } = item.fingerprint ?? {};
  if (binary instanceof Uint8Array && binary.length === FINGERPRINT_BYTES) {
    return Buffer.from(binary).toString("hex");
  }
  return text !== undefined && FINGERPRINT.test(text) ? text : undefined;
}

/** Only an explicit verdict settles. Error texts are dropped, because they may quote the payload. */
async function verdict(accept, event) {
  let answer;
  try {
    answer = await accept(event);
  } catch (error) {
    throw error instanceof RetryLater
      ? new Failed("RetryLater")
      : new Failed("DownstreamFailed", error?.constructor?.name);
  }
  if (isObject(answer)) {
    const names = Object.keys(answer);
    const isRefusal = names.length === 1 && names[0] === "refused";
    const isAcceptance =
      answer.accepted === true &&
      names.every((name) => ["accepted", "writes"].includes(name)) &&
      (answer.writes === undefined || Array.isArray(answer.writes));
    if (isRefusal || isAcceptance) {
      return isRefusal ? { refused: answer.refused ?? "" } : answer;
    }
  }
  throw new Failed("DownstreamFailed", "NoVerdict");
}

/** Lambda retries from the lowest number. They are compared as numbers: as texts, "10" is below "9". */
function lowest(numbers) {
  if (!numbers.every((number) => typeof number === "string" && NUMBER.test(number))) {
    throw new Error("a failed record has no sequence number: the whole batch fails");
  }
  return numbers.reduce((least, number) => (BigInt(number) < BigInt(least) ? number : least));
}

function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function log(level, fields) {
  console[level](JSON.stringify({ level, ...fields }));
}
