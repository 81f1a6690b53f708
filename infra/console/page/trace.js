// One notification: its timeline with gaps, its copies, what can be retried, and its payload behind one click.

import { get } from "/page/api.js";
import { byId, copyButton, el, setText } from "/page/dom.js";
import { duration, time } from "/page/format.js";

/** A gap from here on is long: the same limit as `onewrite trace`. */
const LONG_GAP_MILLIS = 60_000n;

/** What a place means: good, over, in between or bad. */
const TONES = {
  Done: "good",
  Refused: "warn",
  Stored: "moving",
  Published: "moving",
  Failed: "bad",
  DeadLettered: "bad",
  Removed: "warn",
  Unreadable: "bad",
  Unknown: "warn",
};

const BAD_STEPS = /given up|dead letter|error/;
const GOOD_STEPS = /^(done|stored)$/;

let current = null;
let abort = null;

export function buildTrace() {
  byId("trace-again").addEventListener("click", () => {
    if (current !== null) load(current);
  });
}

/** Shows a notification. Ends the request for another one. */
export function openTrace(id) {
  if (id === current) return;
  current = id;
  load(id);
}

/** Leaves the view: payload and report do not stay in the page. */
export function closeTrace() {
  abort?.abort();
  abort = null;
  current = null;
  byId("trace-body").replaceChildren();
}

async function load(id) {
  abort?.abort();
  abort = new AbortController();
  const { signal } = abort;
  const body = byId("trace-body");
  if (body.dataset.id !== id) body.replaceChildren();
  body.dataset.id = id;
  body.setAttribute("aria-busy", "true");
  setText(byId("trace-status"), "Searching the table, the stream, the dead letters and the failure bucket …");
  try {
    const trace = await get(`/api/trace?id=${encodeURIComponent(id)}`, signal);
    body.replaceChildren(...report(trace));
    setText(byId("trace-status"), `Read at ${time(trace.looked_at)}`);
  } catch (error) {
    if (error.name === "AbortError") return;
    body.replaceChildren(heading(id, null), el("p", { class: "notice bad", "data-testid": "trace-error", text: failure(error) }));
    setText(byId("trace-status"), "");
  }
  body.setAttribute("aria-busy", "false");
}

function failure(error) {
  if (error.status === 404) return "No notification with this id is known. If it was sent just now, its message may still be in the queue.";
  return error.message;
}

function heading(id, trace) {
  return el(
    "div",
    { class: "trace-head" },
    el("p", { class: "trace-id mono", "data-testid": "trace-id", text: id }),
    copyButton(id, "Copy id"),
    trace === null ? null : el("span", { class: "place", "data-tone": TONES[trace.place] ?? "warn", "data-testid": "trace-place", text: trace.place }),
    trace?.settled_by ? el("span", { class: "muted", text: `settled by ${trace.settled_by}` }) : null,
  );
}

function report(trace) {
  return [
    heading(trace.id, trace),
    el("div", { class: "summary", "data-testid": "trace-summary" }, ...trace.summary.map((text) => el("p", { text }))),
    el(
      "div",
      { class: "trace-columns" },
      el("div", {}, el("h3", { text: "Timeline" }), timeline(trace.steps)),
      el("div", {}, commands(trace.commands), payload(trace), texts("Copies elsewhere", trace.copies), texts("Newest errors", trace.errors, "bad"), records(trace.records)),
    ),
  ];
}

function timeline(steps) {
  if (steps.length === 0) return el("p", { class: "muted", text: "Nothing was found for this id." });
  const list = el("ol", { class: "timeline" });
  for (const step of steps) {
    if (step.gap_millis !== null) list.append(gap(step.gap_millis));
    const tone = BAD_STEPS.test(step.what) ? "bad" : GOOD_STEPS.test(step.what) ? "good" : null;
    list.append(
      el(
        "li",
        { class: "step", "data-testid": "trace-step", "data-tone": tone },
        el("p", { class: "step-head" }, el("strong", { text: step.what }), el("time", { datetime: step.at, title: step.at, text: time(step.at, { withMillis: true }) })),
        el("p", { class: "step-detail", text: step.detail }),
      ),
    );
  }
  return list;
}

function gap(millis) {
  const isLong = BigInt(millis) >= LONG_GAP_MILLIS;
  return el("li", { class: "gap", "data-long": isLong ? "true" : null, "data-testid": "trace-gap", text: isLong ? `${duration(millis)} without an event` : `+ ${duration(millis)}` });
}

function commands(list) {
  if (list.length === 0) return null;
  return el(
    "section",
    { class: "panel", "aria-label": "Commands" },
    el("h3", { text: "Commands" }),
    ...list.map((command) => el("div", { class: "command" }, el("p", { text: command.purpose }), el("div", { class: "command-line" }, el("code", { "data-testid": "command", text: command.line }), copyButton(command.line)))),
  );
}

/** The payload is read when somebody asks for it, and forgotten when they hide it or leave. */
function payload(trace) {
  if (!trace.has_payload) return null;
  const shown = el("div", { class: "payload-box" });
  const button = el("button", { type: "button", class: "button", "data-testid": "payload-show", "aria-expanded": "false", text: "Show payload" });
  const hide = () => {
    shown.replaceChildren();
    button.setAttribute("aria-expanded", "false");
    setText(button, "Show payload");
  };
  button.addEventListener("click", async () => {
    if (button.getAttribute("aria-expanded") === "true") {
      hide();
      return;
    }
    try {
      const found = await get(`/api/payload?id=${encodeURIComponent(trace.id)}`);
      if (current !== trace.id) return;
      shown.replaceChildren(
        el("pre", { class: "payload", "data-testid": "payload", tabindex: "0", "aria-label": "Payload", text: found.payload }),
        ...(found.enrichment === null || found.enrichment === undefined ? [] : [el("h4", { text: "Enrichment" }), el("pre", { class: "payload", "data-testid": "enrichment", tabindex: "0", text: found.enrichment })]),
      );
      button.setAttribute("aria-expanded", "true");
      setText(button, "Hide payload");
    } catch (error) {
      shown.replaceChildren(el("p", { class: "notice bad", text: failure(error) }));
    }
  });
  return el("section", { class: "panel", "aria-label": "Payload" }, el("div", { class: "panel-head" }, el("h3", { text: "Payload" }), button), el("p", { class: "hint", text: "It may be confidential. The console reads it only when you ask for it, and never logs it." }), shown);
}

function texts(title, lines, tone) {
  if (lines.length === 0) return null;
  return el("section", { class: "panel", "aria-label": title }, el("h3", { text: title }), el("ul", { class: "notes", "data-tone": tone }, ...lines.map((text) => el("li", { text }))));
}

const cell = (label, text, testId) => el("td", { class: "mono", "data-label": label, "data-testid": testId, text });

function records(list) {
  if (list.length === 0) return null;
  const rows = list.map((record) => el("tr", {}, cell("Event", record.event_id), cell("Shard", record.shard), cell("Sequence number", record.sequence_number, "sequence-number")));
  return el(
    "section",
    { class: "panel", "aria-label": "Records in the stream" },
    el("h3", { text: "Records in the stream" }),
    el("div", { class: "table-wrap", tabindex: "0", role: "group", "aria-label": "Records" }, el("table", { class: "entries" }, el("thead", {}, el("tr", {}, ...["Event", "Shard", "Sequence number"].map((text) => el("th", { scope: "col", text })))), el("tbody", {}, ...rows))),
  );
}
