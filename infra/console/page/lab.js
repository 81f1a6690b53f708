// "Break it": what a local stack can send, the faults that it can cause, and the guided run.

import { post } from "/page/api.js";
import { buildComparison, updateComparison } from "/page/compare.js";
import { byId, el, isOff, setAttribute, setLines, setOff, setText } from "/page/dom.js";
import { count, plural } from "/page/format.js";

const SENDS = [
  ["send-1", "1 notification", { action: "send", count: 1 }, "Sends one new notification"],
  ["send-100", "100 notifications", { action: "send", count: 100 }, "Sends 100 new notifications"],
  ["send-duplicates", "1 notification, 5 times", { action: "send_duplicates" }, "Sends one new notification as five equal messages. It must have one effect"],
  ["send-conflict", "Same id, other content", { action: "send_conflict" }, "Sends a stored id with other content. The first message wins, and this one becomes a dead letter"],
  ["send-poison", "Malformed message", { action: "send_poison" }, "Sends a message that breaks a rule. It becomes a dead letter, and no other message waits for it"],
];

const FAULTS = [
  ["kill_ingest_before_write", "Kill ingest before its write", "The process dies before it stores the message. SQS delivers the message again."],
  ["kill_ingest_after_write", "Kill ingest after its write", "The item is stored, and SQS delivers the message again. The double write finds the item in INIT and skips the message: lost."],
  ["cut_kinesis", "Cut the connection to Kinesis", "Kinesis stores the event, but the sender gets no response and sends it again. The double write has two effects."],
  ["fail_entries", "Fail entries of PutRecords", "Kinesis reports every other record of a call as failed. The sender sends these records again."],
  ["kill_complete_after_effect", "Kill complete after the effect", "The effect has happened, but DONE is not written. Lambda retries the event."],
  ["throttle_table", "Throttle the table", "DynamoDB rejects writes. The messages and events are retried."],
];

/** The same limits as the server's. */
const LONGEST_FILE = 2 * 1024 * 1024 - 64 * 1024;
const MOST_LINES = 1000;
const MOST_LOG_LINES = 50;
const LARGEST_SEED = 2n ** 64n - 1n;

const switches = new Map();
let state = null;

export function buildLab() {
  byId("send-buttons").append(...SENDS.map(([id, text, action, title]) => el("button", { type: "button", class: "button", "data-testid": id, title, text, onclick: () => act(action) })), fileButton());
  byId("faults").append(...FAULTS.map(buildSwitch));
  byId("pause").addEventListener("click", (event) => isOff(event.currentTarget) || act({ action: "pause" }));
  byId("resume").addEventListener("click", (event) => isOff(event.currentTarget) || act({ action: "resume" }));
  byId("guided-start").addEventListener("click", startGuided);
  byId("guided-stop").addEventListener("click", (event) => isOff(event.currentTarget) || act({ action: "stop_guided" }));
  buildComparison();
}

function fileButton() {
  const input = el("input", { type: "file", class: "file-input", "data-testid": "send-file", "aria-label": "Send a file, one message a line", accept: ".txt,.json,.jsonl,.ndjson,text/plain,application/json" });
  input.addEventListener("change", async () => {
    const [file] = input.files;
    if (file !== undefined) await sendFile(file);
    input.value = "";
  });
  return el("label", { class: "button file", title: `Sends each line as one message, at most ${count(MOST_LINES)}` }, "A file …", input);
}

async function sendFile(file) {
  if (file.size > LONGEST_FILE) {
    say("The file is too large. The limit is 2 MiB.", true);
    return;
  }
  const lines = (await file.text()).split(/\r?\n/).filter((line) => line.trim() !== "");
  if (lines.length === 0) say("The file has no lines.", true);
  else if (lines.length > MOST_LINES) say(`The file has ${plural(lines.length, "line")}. At most ${count(MOST_LINES)} are sent.`, true);
  else await act({ action: "send_lines", lines });
}

function buildSwitch([fault, title, words]) {
  const parts = {
    left: el("span", { class: "switch-left", "data-testid": `fault-${fault}-left` }),
    count: el("span", { class: "switch-count" }),
  };
  parts.button = el(
    "button",
    { type: "button", class: "switch", role: "switch", "aria-checked": "false", "data-testid": `fault-${fault}`, "aria-describedby": `about-${fault}`, onclick: () => toggle(fault) },
    el("span", { class: "switch-track", "aria-hidden": "true" }, el("span", { class: "switch-thumb" }), parts.count),
    el("span", { class: "switch-title", text: title }),
    parts.left,
  );
  switches.set(fault, parts);
  return el("li", {}, parts.button, el("p", { id: `about-${fault}`, class: "hint", text: words }));
}

const leftOf = (fault) => state?.faults[fault] ?? "0";

function toggle(fault) {
  if (leftOf(fault) !== "0") {
    act({ action: "set_fault", fault, count: 0 });
    return;
  }
  const input = byId("fault-count");
  const number = Number(input.value);
  if (!input.validity.valid || !Number.isInteger(number) || number < 1) {
    say("The number of times must be a whole number from 1 to 1,000.", true);
    input.focus();
    return;
  }
  act({ action: "set_fault", fault, count: number });
}

function startGuided() {
  if (isOff(byId("guided-start"))) return;
  const text = byId("guided-seed-input").value.trim();
  if (text !== "" && (!/^[0-9]{1,20}$/.test(text) || BigInt(text) > LARGEST_SEED)) {
    say(`The seed must be a whole number from 0 to ${LARGEST_SEED}.`, true);
    return;
  }
  // A seed can be larger than a number of JavaScript, so it is written into the JSON as it is.
  act(`{"action":"start_guided","seed":${text === "" ? "null" : BigInt(text)}}`);
}

async function act(action) {
  try {
    const { text } = await post("/api/lab", action);
    say(text, false);
  } catch (error) {
    say(error.message, true);
  }
}

function say(text, isBad) {
  const result = byId("lab-result");
  setText(result, text);
  setAttribute(result, "data-tone", isBad ? "bad" : null);
}

export function updateLab(lab) {
  state = lab;
  for (const [fault, parts] of switches) {
    const left = leftOf(fault);
    setAttribute(parts.button, "aria-checked", String(left !== "0"));
    setText(parts.left, left === "0" ? "" : `${count(left)} left`);
    setText(parts.count, left === "0" ? "" : left.length > 2 ? "99+" : left);
  }
  setOff(byId("pause"), lab.is_paused);
  setOff(byId("resume"), !lab.is_paused);
  setLines(byId("log"), lab.log.slice(-MOST_LOG_LINES).reverse());
  updateGuided(lab.guided);
  updateComparison(lab.comparison, lab.totals.effects !== null);
}

function updateGuided(guided) {
  if (guided === null || guided === undefined) {
    setOff(byId("guided-start"), false);
    setOff(byId("guided-stop"), true);
    return;
  }
  const isRunning = !guided.is_finished;
  setOff(byId("guided-start"), isRunning);
  setOff(byId("guided-stop"), !isRunning);
  setAttribute(byId("guided"), "data-running", isRunning ? "true" : null);
  setText(byId("guided-text"), guided.text);
  setText(byId("guided-seed"), guided.seed);
  setText(byId("guided-step"), isRunning ? `Step ${guided.step + 1} of ${guided.steps}` : "Finished");
  const progress = byId("guided-progress");
  progress.max = Math.max(guided.steps, 1);
  progress.value = guided.is_finished ? guided.steps : guided.step;
}
