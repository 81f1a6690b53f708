/** Evaluates the JavaScript expression of the documentation that reads a compressed payload. */
import { readFileSync } from "node:fs";
import zlib from "node:zlib";

const { expression, value } = JSON.parse(readFileSync(0, "utf8"));
const read = new Function("zlib", "value", `return ${expression};`);
process.stdout.write(JSON.stringify(read(zlib, Buffer.from(value, "base64"))));
