/** Calls the handler of a JavaScript file with each event of standard input, and prints the answers. */
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const { handler } = await import(pathToFileURL(process.argv[2]));
const answers = [];
for (const event of JSON.parse(readFileSync(0, "utf8"))) {
  answers.push(await handler(event));
}
process.stdout.write(JSON.stringify(answers));
