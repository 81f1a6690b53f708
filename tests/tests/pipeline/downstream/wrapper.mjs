// Follows the code of an example, whose handler is renamed to `answer`, and precedes the definition of `MARKERS`.

import { randomUUID } from "node:crypto";
import { writeFileSync } from "node:fs";

function crashOnce(prefix, subject) {
  if (subject.startsWith(prefix)) {
    try {
      writeFileSync(`${MARKERS}/${subject}`, "", { flag: "wx" });
    } catch {
      return;
    }
    process.exit(1);
  }
}

export async function handler(event) {
  crashOnce("before-", event.subject);
  const verdict = await answer(event);
  crashOnce("after-", event.subject);
  for (const write of verdict.writes ?? []) {
    write.Put.Item.entry_id.S += `#${randomUUID()}`;
  }
  return verdict;
}
