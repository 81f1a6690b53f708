// The comparison: the same messages and faults through onewrite and through the double write.

import { byId, el, setAttribute, setText, svg } from "/page/dom.js";
import { count, isPositive, plural } from "/page/format.js";

const SIDES = [
  {
    key: "onewrite",
    id: "onewrite",
    title: "onewrite",
    words: "One conditional write. Every repetition is harmless.",
  },
  {
    key: "double_write",
    id: "double-write",
    title: "The usual double write",
    words: "Write INIT, send, write DONE. A failure in between loses or repeats the effect.",
  },
];

const sides = new Map();

export function buildComparison() {
  byId("compare-sides").append(...SIDES.map(buildSide));
}

function number(id, name, label) {
  const value = el("dd", { "data-testid": `compare-${id}-${name}`, text: "0" });
  const term = el("dt", { text: label });
  return { value, term, row: el("div", { class: `number ${name}` }, value, term) };
}

function buildSide({ key, id, title, words }) {
  const parts = {
    effects: number(id, "effects", "effects"),
    repeated: number(id, "repeated", "more than once"),
    lost: number(id, "lost", "lost"),
    verdict: el("p", { class: "verdict", "data-testid": `compare-${id}-verdict` }),
    bar: svg("svg", { class: "bar", viewBox: "0 0 1000 12", preserveAspectRatio: "none", "aria-hidden": "true" }),
    examples: el("ul", { class: "examples", "data-testid": `compare-${id}-examples`, "aria-label": "Ids that failed" }),
  };
  parts.card = el(
    "section",
    { class: "side", "data-side": key, "aria-label": title },
    el("div", { class: "side-head" }, el("h4", { text: title }), parts.verdict),
    el("p", { class: "side-words", text: words }),
    el("dl", { class: "numbers" }, parts.effects.row, parts.repeated.row, parts.lost.row),
    parts.bar,
    parts.examples,
  );
  sides.set(key, parts);
  return parts.card;
}

/** `isCounted`: whether the stack delivers to the built-in ledger. Nothing else counts the effects of onewrite here. */
export function updateComparison(comparison, isCounted) {
  setText(byId("compare-ids"), count(comparison.ids));
  setText(byId("compare-ids-of"), comparison.ids === "1" ? "notification sent from this page" : "notifications sent from this page");
  updateSide(sides.get("onewrite"), comparison.onewrite, comparison.ids, isCounted);
  updateSide(sides.get("double_write"), comparison.double_write, comparison.ids, true);
}

function updateSide(parts, ledger, ids, isCounted) {
  setText(parts.effects.value, isCounted ? count(ledger.effects) : "–");
  setText(parts.effects.term, isPositive(ids) ? `effects of ${plural(ids, "id")}` : "effects");
  setText(parts.repeated.value, isCounted ? count(ledger.repeated) : "–");
  setText(parts.lost.value, count(ledger.lost));
  setAttribute(parts.effects.row, "data-bad", BigInt(ledger.effects) > BigInt(ids) || isPositive(ledger.repeated) || isPositive(ledger.lost) ? "true" : null);
  setAttribute(parts.repeated.row, "data-bad", isPositive(ledger.repeated) ? "true" : null);
  setAttribute(parts.lost.row, "data-bad", isPositive(ledger.lost) ? "true" : null);
  const { text, tone } = verdict(ledger, ids, isCounted);
  setText(parts.verdict, text);
  setAttribute(parts.card, "data-tone", tone);
  drawBar(parts, ledger, isCounted ? ids : "0");
  listExamples(parts, ledger.examples);
}

/** One line that claims only what was counted. */
function verdict(ledger, ids, isCounted) {
  if (!isPositive(ids)) return { text: "nothing sent yet", tone: null };
  const failures = [];
  if (isPositive(ledger.repeated)) failures.push(`${count(ledger.repeated)} took effect twice or more`);
  if (isPositive(ledger.lost)) failures.push(`${count(ledger.lost)} lost`);
  if (failures.length > 0) return { text: failures.join(", "), tone: "bad" };
  if (!isCounted) return { text: "effects not counted: only the built-in ledger counts them", tone: null };
  if (isPositive(ledger.pending)) return { text: `${count(ledger.pending)} on the way`, tone: "moving" };
  return { text: "each took effect once", tone: "good" };
}

/** How the ids ended: once, more than once, lost, or still on the way. */
function drawBar(parts, ledger, ids) {
  const key = [ids, ledger.repeated, ledger.lost, ledger.pending].join(" ");
  if (parts.barKey === key) return;
  parts.barKey = key;
  const [all, repeated, lost, pending] = key.split(" ").map(BigInt);
  const rest = all - repeated - lost - pending;
  let at = 0;
  const shares = [
    ["once", rest > 0n ? rest : 0n],
    ["repeated", repeated],
    ["lost", lost],
    ["pending", pending],
  ];
  parts.bar.replaceChildren(
    ...shares.map(([name, amount]) => {
      const width = all === 0n ? 0 : Number((amount * 10_000n) / all) / 10;
      const part = svg("rect", { class: `bar-${name}`, x: at, y: 0, width, height: 12 });
      at += width;
      return part;
    }),
  );
}

function listExamples(parts, examples) {
  const key = JSON.stringify(examples);
  if (parts.examplesKey === key) return;
  parts.examplesKey = key;
  parts.examples.replaceChildren(...examples.slice(0, 10).map((id) => el("li", {}, el("a", { class: "mono", href: `#/notification/${encodeURIComponent(id)}`, title: "Its history in onewrite", text: id }))));
}
