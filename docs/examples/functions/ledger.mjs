/** A target in JavaScript: one ledger entry per notification, exactly once, because `complete` commits it together with DONE. */

const LEDGER = process.env.LEDGER_TABLE_NAME ?? "ledger";

export async function handler(event) {
  const refund = event.data;
  if (refund.account === "closed") {
    return { refused: "account_closed" };
  }
  const entry = { entry_id: { S: event.subject }, entry: { S: JSON.stringify(refund) } };
  return { accepted: true, writes: [{ Put: { TableName: LEDGER, Item: entry } }] };
}
