/**
 * A consumer for `onewrite conform`: commits an entry of the ledger with DONE. Argument: onewrite.mjs.
 *
 * Standard input: a batch. Output: the response.
 */
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

import { connect, sdk } from "./dynamodb.mjs";

const { Consumer } = await import(pathToFileURL(process.argv[2]));
const variables = process.env;
const client = connect({
  endpoint: variables.AWS_ENDPOINT_URL,
  region: variables.AWS_REGION,
  access_key_id: variables.AWS_ACCESS_KEY_ID,
  secret_access_key: variables.AWS_SECRET_ACCESS_KEY,
});
const consumer = new Consumer(variables.TABLE_NAME, { sdk, client });

function accept(event) {
  if (event.data.account === "closed") {
    return { refused: "account_closed" };
  }
  const entry = { entry_id: { S: event.subject }, entry: { S: JSON.stringify(event.data) } };
  return { accepted: true, writes: [{ Put: { TableName: variables.LEDGER_TABLE_NAME, Item: entry } }] };
}

const response = await consumer.process(JSON.parse(readFileSync(0, "utf8")), accept);
process.stdout.write(JSON.stringify(response));
