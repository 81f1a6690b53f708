// Forward with the SDK: PutRecords with at most one record of an id per call, retries, and a partial batch response.
import { setTimeout as sleep } from "node:timers/promises";
import { KinesisClient, PutRecordsCommand } from "@aws-sdk/client-kinesis";
import { NodeHttpHandler } from "@smithy/node-http-handler";
import { run } from "./runtime.mjs";

const RECORDS = 500;
const BYTES = 5 * 1024 * 1024;
const StreamName = process.env.STREAM_NAME;
// HTTP/1.1: this client's default is HTTP/2, which costs more where there is one call at a time.
const client = new KinesisClient({ cacheMiddleware: true, requestHandler: new NodeHttpHandler() });

// True for a new notification, and for one whose status or redrives changed.
const isPublished = ({ eventName, dynamodb: { OldImage: old, NewImage: image } }) =>
  eventName === "INSERT" ||
  (eventName === "MODIFY" && (old?.status?.S !== image.status.S || old?.redrives?.N !== image.redrives?.N));

const entryOf = (image) => {
  const [key, status] = [image.notification_id.S, image.status.S];
  const event = {
    specversion: "1.0",
    id: `${key}/${status}`,
    source: "onewrite",
    type: `${image.type.S}.${status.toLowerCase()}`,
    subject: key,
    time: image.updated_at.S,
    datacontenttype: "application/json",
    partitionkey: key,
    sequence: image.version.N,
    status,
    fingerprint: image.fingerprint.S,
  };
  // The payload is JSON already.
  const json = `${JSON.stringify(event).slice(0, -1)},"data":${image.payload.S}}`;
  return { PartitionKey: key, Data: Buffer.from(json) };
};

run(async ({ Records: changes }, context) => {
  // For each id, its unconfirmed records in order, and their places in the batch.
  const unconfirmed = new Map();
  for (const [place, change] of changes.entries()) {
    try {
      if (!isPublished(change)) continue;
      const entry = entryOf(change.dynamodb.NewImage);
      const sameId = unconfirmed.get(entry.PartitionKey);
      if (sameId) sameId.push({ place, entry });
      else unconfirmed.set(entry.PartitionKey, [{ place, entry }]);
    } catch (error) {
      console.error("skipping a change that cannot be read; the item stays in the table", error);
    }
  }

  let ready = [...unconfirmed.values()];
  let failures = 0;
  while (ready.length > 0) {
    const call = [];
    let size = 0;
    for (const records of ready) {
      const { PartitionKey, Data } = records[0].entry;
      size += PartitionKey.length + Data.length;
      if (call.length === RECORDS || (call.length > 0 && size > BYTES)) break;
      call.push(records);
    }
    const later = ready.slice(call.length);
    const command = new PutRecordsCommand({ StreamName, Records: call.map(([{ entry }]) => entry) });
    let response;
    try {
      response = await client.send(command);
    } catch (error) {
      console.error("a PutRecords call failed", error); // after the SDK's own retries
      break;
    }
    const failed = [];
    for (const [index, records] of call.entries()) {
      if (response.Records[index].ErrorCode) {
        failed.push(records);
      } else {
        records.shift();
        if (records.length > 0) later.push(records);
      }
    }
    ready = later.concat(failed);
    if (failed.length > 0) {
      failures = failed.length === call.length ? failures + 1 : 0;
      const pause = Math.random() * Math.min(2_000, 50 * 2 ** failures);
      if (pause + 1_000 > context.getRemainingTimeInMillis()) break;
      await sleep(pause);
    }
  }

  const places = [...unconfirmed.values()].filter((records) => records.length > 0).map((records) => records[0].place);
  if (places.length === 0) return { batchItemFailures: [] };
  const { SequenceNumber } = changes[Math.min(...places)].dynamodb;
  return { batchItemFailures: [{ itemIdentifier: SequenceNumber }] };
});
