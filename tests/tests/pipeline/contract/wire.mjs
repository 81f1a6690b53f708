/** Converts between the inputs and outputs of the SDK, in which binary values are bytes, and the JSON on the wire, with Base64. */

/** An input of the SDK as text. */
export const toWire = (input) =>
  JSON.stringify(input, function (key, value) {
    // `Buffer` has a `toJSON`, which has run before this function.
    return this[key] instanceof Uint8Array ? Buffer.from(this[key]).toString("base64") : value;
  });

/** A body of DynamoDB as an output of the SDK. */
export const fromWire = (text) =>
  JSON.parse(text, (key, value) => (key === "B" && typeof value === "string" ? Buffer.from(value, "base64") : value));
