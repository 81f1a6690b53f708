// The item that the Node peers store: the notification as this project's ingest stores it, but with all values as text.
import { createHash } from "node:crypto";
import { ConditionalCheckFailedException, PutItemCommand } from "@aws-sdk/client-dynamodb";

const canonical = (value) => {
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  const fields = Object.keys(value).sort().map((name) => `${JSON.stringify(name)}:${canonical(value[name])}`);
  return `{${fields.join(",")}}`;
};

export const itemOf = (messageId, body) => {
  const { notification_id: id, type = "notification", payload } = JSON.parse(body);
  if (id === undefined || payload === undefined) throw new Error("no id or no payload");
  const text = canonical(payload);
  const now = new Date().toISOString();
  return {
    notification_id: { S: id },
    source_message_id: { S: messageId },
    type: { S: type },
    payload: { S: text },
    fingerprint: { S: createHash("sha256").update(`${type}\n${text}`).digest("hex") },
    status: { S: "INIT" },
    version: { N: "1" },
    redrives: { N: "0" },
    created_at: { S: now },
    updated_at: { S: now },
  };
};

// Writes the item unless its id exists. A copy of the same notification is not an error.
export const putNew = async (client, table, item) => {
  try {
    await client.send(
      new PutItemCommand({
        TableName: table,
        Item: item,
        ConditionExpression: "attribute_not_exists(notification_id)",
        ReturnValuesOnConditionCheckFailure: "ALL_OLD",
      }),
    );
  } catch (error) {
    if (!(error instanceof ConditionalCheckFailedException)) throw error;
    if (error.Item?.fingerprint?.S !== item.fingerprint.S) throw new Error("the id belongs to another notification");
  }
};
