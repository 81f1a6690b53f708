// The flow: the stages from left to right, and below them where work ends that does not pass.

import { byId, el, setAttribute, setLines, setText, show, svg } from "/page/dom.js";
import { age, count, isPositive, rate, time } from "/page/format.js";

/** What each stage is, for somebody who sees the pipeline for the first time. */
const STAGES = [
  ["queue", "Queue", "SQS, at least once"],
  ["ingest", "Ingest", "one conditional write"],
  ["table", "Table", "one item per id"],
  ["forward", "Forward", "publishes each change"],
  ["stream", "Stream", "Kinesis, in order"],
  ["complete", "Complete", "delivers, then DONE"],
  ["targets", "Targets", "your systems"],
];

/** Where work ends, the stages that it leaves from, and the total that counts it. */
const SINKS = [
  { name: "dead-letters", title: "Dead letters", of: "dead_letters", href: "#/attention/dead_letters", text: deadLetters, isBad: true },
  { name: "duplicates", title: "Duplicates", of: "duplicates", text: () => "nothing is written" },
  { name: "failures", title: "Failure bucket", of: "failures", href: "#/attention/failure_bucket", text: () => "batches that were given up", isBad: true },
  { name: "refused", title: "Refused", of: "refused", href: "#/attention/refused", text: () => "final, by a target" },
];

function deadLetters(totals) {
  const parts = [];
  if (totals.conflicts !== null && totals.conflicts !== undefined) parts.push(`${count(totals.conflicts)} in conflict`);
  if (totals.rejected !== null && totals.rejected !== undefined) parts.push(`${count(totals.rejected)} rejected`);
  return parts.length > 0 ? parts.join(", ") : "after six failed receives";
}

const stages = new Map();
const sinks = new Map();
let opened = null;
let latest = [];

function arrow() {
  return el(
    "div",
    { class: "arrow", "aria-hidden": "true" },
    svg("svg", { viewBox: "0 0 28 12", width: 28, height: 12 }, svg("path", { class: "arrow-line", d: "M1 6h24" }), svg("path", { class: "arrow-head", d: "M21 2l5 4-5 4" })),
  );
}

function fact(name) {
  const value = el("dd", { text: "–" });
  return { value, row: el("div", {}, el("dt", { text: name }), value) };
}

function buildStage([name, title, role]) {
  const parts = {
    count: el("span", { class: "stage-count", text: "–", "data-testid": `stage-${name}-count` }),
    countOf: el("span", { class: "stage-count-of" }),
    rate: fact("rate"),
    oldest: fact("oldest"),
    retry: fact("in retry"),
    note: el("p", { class: "stage-note" }),
    flags: el("p", { class: "flags" }),
  };
  parts.button = el("button", { type: "button", class: "stage-name", text: title, "aria-expanded": "false", "aria-controls": "stage-detail", onclick: () => toggle(name) });
  parts.card = el(
    "article",
    { class: "stage", "data-testid": `stage-${name}`, "data-name": name, "aria-label": title },
    el("div", { class: "stage-head" }, el("h3", {}, parts.button), parts.flags),
    el("p", { class: "stage-role", text: role }),
    el("p", { class: "stage-headline" }, parts.count, parts.countOf),
    el("dl", { class: "stage-facts" }, parts.rate.row, parts.oldest.row, parts.retry.row),
    parts.note,
  );
  stages.set(name, parts);
  return parts.card;
}

function buildSink(sink) {
  const parts = {
    ...sink,
    count: el("span", { class: "sink-count", "data-testid": `sink-${sink.name}-count`, text: "–" }),
    words: el("span", { class: "sink-text", text: sink.text({}) }),
  };
  const title = sink.href ? el("a", { href: sink.href, text: sink.title }) : el("span", { text: sink.title });
  parts.box = el(
    "div",
    { class: "sink", "data-name": sink.name, "data-testid": `sink-${sink.name}` },
    el("p", { class: "sink-head" }, title, parts.count),
    parts.words,
  );
  sinks.set(sink.name, parts);
  return parts.box;
}

/** Builds the flow once. Updates change texts only, so nothing jumps. */
export function buildFlow() {
  const flow = byId("flow");
  STAGES.forEach((stage, index) => {
    if (index > 0) flow.append(arrow());
    flow.append(buildStage(stage));
  });
  flow.append(...SINKS.map(buildSink));
}

function flag(text, kind, title) {
  return el("span", { class: `flag ${kind}`, text, title });
}

function updateStage(parts, stage) {
  setText(parts.count, count(stage.count));
  setText(parts.countOf, stage.count_of || "");
  setText(parts.rate.value, rate(stage.rate));
  setText(parts.oldest.value, age(stage.oldest_millis));
  setText(parts.retry.value, count(stage.in_retry));
  setAttribute(parts.retry.row, "data-bad", isPositive(stage.in_retry) ? "true" : null);
  const failure = stage.last_failure ? `Last failure: ${stage.last_failure}` : "";
  const note = stage.is_failing ? stage.last_failure ?? "" : stage.details[0] ?? failure;
  setText(parts.note, note);
  setAttribute(parts.note, "title", note || null);
  setAttribute(parts.note, "data-bad", stage.is_failing ? "true" : null);
  setAttribute(parts.card, "data-moving", stage.rate > 0 && !stage.is_paused ? "true" : null);
  setAttribute(parts.card, "data-paused", stage.is_paused ? "true" : null);
  const state = stage.alarms.length > 0 ? "alarm" : stage.is_paused ? "paused" : null;
  setAttribute(parts.card, "data-state", state);
  const key = `${stage.is_paused}|${stage.alarms.join("|")}`;
  if (parts.key === key) return;
  parts.key = key;
  parts.flags.replaceChildren(
    ...(stage.alarms.length > 0 ? [flag(stage.alarms.length === 1 ? "alarm" : `${stage.alarms.length} alarms`, "bad", stage.alarms.join(", "))] : []),
    ...(stage.is_paused ? [flag("paused", "warn")] : []),
  );
}

function toggle(name) {
  opened = opened === name ? null : name;
  for (const [other, parts] of stages) parts.button.setAttribute("aria-expanded", String(other === opened));
  updateDetail();
}

function updateDetail() {
  const panel = byId("stage-detail");
  const stage = latest.find((one) => one.name === opened);
  show(panel, stage !== undefined);
  if (stage === undefined) return;
  if (panel.children.length === 0) {
    panel.append(el("h3"), el("p", { class: "mono" }), el("ul", { class: "notes" }));
  }
  const [title, resource, lines] = panel.children;
  const name = STAGES.find(([known]) => known === stage.name)?.[1] ?? stage.name;
  setText(title, name);
  setText(resource, stage.resource);
  setLines(lines, [
    ...stage.alarms.map((alarm) => `Alarm: ${alarm}`),
    ...(stage.is_paused ? ["The event source mapping in front of it is paused."] : []),
    ...(stage.last_failure ? [`Last failure: ${stage.last_failure}`] : []),
    ...stage.details,
  ]);
}

function updateAlarms(alarms) {
  const strip = byId("alarms");
  const key = JSON.stringify(alarms);
  if (strip.dataset.key === key) return;
  strip.dataset.key = key;
  strip.replaceChildren(
    ...alarms.map((alarm) =>
      el(
        "p",
        { class: "alarm" },
        flag("alarm", "bad"),
        el("strong", { text: alarm.name }),
        el("span", { text: alarm.description }),
        alarm.since ? el("span", { class: "muted", text: `since ${time(alarm.since)}` }) : null,
      ),
    ),
  );
  show(strip, alarms.length > 0);
}

/** The stages of the pipeline, with what the local stack counts in its own process, which is newer. */
function merge(overview, lab) {
  const own = new Map((lab?.stages ?? []).map((stage) => [stage.name, stage]));
  const names = overview.stages.map((stage) => stage.name);
  const known = overview.stages.map((stage) => {
    const newer = own.get(stage.name);
    if (newer === undefined) return stage;
    const counted = Object.entries(newer).filter(([, value]) => value !== null && value !== "" && !Array.isArray(value));
    return {
      ...stage,
      ...Object.fromEntries(counted),
      resource: stage.resource || newer.resource,
      is_paused: stage.is_paused || newer.is_paused,
      alarms: stage.alarms,
      details: newer.details.length > 0 ? newer.details : stage.details,
    };
  });
  return [...known, ...[...own.values()].filter((stage) => !names.includes(stage.name))];
}

export function updateFlow(overview, lab) {
  latest = merge(overview, lab);
  for (const stage of latest) {
    const parts = stages.get(stage.name);
    if (parts !== undefined) updateStage(parts, stage);
  }
  const { totals } = overview;
  for (const parts of sinks.values()) {
    setText(parts.count, count(totals[parts.of]));
    setText(parts.words, parts.text(totals));
    setAttribute(parts.box, "data-bad", parts.isBad && isPositive(totals[parts.of]) ? "true" : null);
  }
  updateAlarms(overview.alarms);
  updateDetail();
}
