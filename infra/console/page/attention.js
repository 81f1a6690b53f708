// "What needs you": lists, filters, and a redrive of exactly what was previewed.

import { post } from "/page/api.js";
import { byId, copyButton, el, isOff, setLines, setOff, setText, show } from "/page/dom.js";
import { count, plural, time } from "/page/format.js";

const KINDS = [
  ["dead_letters", "Dead letters", "Messages that ingest did not accept in six receives. Redrive those that can succeed now; a conflict or a rejection fails again."],
  ["pending", "Stuck in INIT", "Notifications that are stored but not settled. A redrive publishes their events again; a second event changes nothing."],
  ["failure_bucket", "Failure bucket", "Events that were given up. Fix the cause first, then redrive them."],
  ["refused", "Refused", "Notifications that a target will never accept. They are final, and cannot be redriven: send a correction with a new id."],
];

/** Rows that are shown at first, and with each "Show more". */
const ROWS = 100;

let about = null;
let kind = "dead_letters";
let found = null;
let shown = ROWS;
let preview = null;
let loading = 0;
const selected = new Set();

export function buildAttention() {
  byId("attention-tabs").append(
    ...KINDS.map(([name, title]) =>
      el("a", { role: "tab", id: `tab-${name}`, href: `#/attention/${name}`, "data-testid": `attention-${name}`, "aria-controls": "attention-panel" }, el("span", { text: title })),
    ),
  );
  byId("attention-tabs").addEventListener("keydown", moveTab);
  byId("filters").addEventListener("submit", (event) => {
    event.preventDefault();
    selected.clear();
    load();
  });
  byId("filter-clear").addEventListener("click", () => {
    clearFilters();
    load();
  });
  byId("preview-button").addEventListener("click", requestPreview);
}

/** Arrow keys move between the tabs. */
function moveTab(event) {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (step === undefined) return;
  const index = KINDS.findIndex(([name]) => name === kind);
  const [next] = KINDS[(index + step + KINDS.length) % KINDS.length];
  location.hash = `#/attention/${next}`;
  byId(`tab-${next}`).focus();
}

function clearFilters() {
  byId("filters").reset();
  selected.clear();
}

export function setAbout(value) {
  about = value;
  const notice = byId("read-only");
  show(notice, !about.allows_changes);
  if (about.allows_changes) return;
  const line = `${about.command} console --allow-changes`;
  notice.replaceChildren(
    el("strong", { text: "This console is read-only." }),
    el("span", { text: "It shows everything and changes nothing. To redrive from this page, start it with:" }),
    el("code", { text: line }),
    copyButton(line),
  );
}

export function openAttention(name) {
  const known = KINDS.some(([one]) => one === name);
  const next = known ? name : "dead_letters";
  if (next !== kind) {
    clearFilters();
    found = null;
  }
  kind = next;
  for (const [one] of KINDS) {
    const tab = byId(`tab-${one}`);
    tab.setAttribute("aria-selected", String(one === kind));
    tab.tabIndex = one === kind ? 0 : -1;
  }
  byId("attention-panel").setAttribute("aria-labelledby", `tab-${kind}`);
  setText(byId("attention-explain"), KINDS.find(([one]) => one === kind)[2]);
  closePreview();
  load();
}

export function closeAttention() {
  loading += 1;
  closePreview();
}

/** The filter of the form. Throws a text if it is invalid. */
function readFilter(withSelection) {
  const filter = { notification_type: null, reason: null, older_than_millis: null, ids: [] };
  const type = byId("filter-type").value.trim();
  if (type !== "") filter.notification_type = type;
  const reason = byId("filter-reason").value;
  if (reason !== "") filter.reason = reason;
  const older = byId("filter-older");
  if (older.validity.badInput || Number(older.value) < 0) throw new Error("The age must be a number, zero or greater.");
  if (older.value !== "") filter.older_than_millis = String(Math.round(Number(older.value) * Number(byId("filter-unit").value)));
  if (withSelection) filter.ids = [...selected];
  return filter;
}

const isEmpty = (filter) => filter.notification_type === null && filter.reason === null && filter.older_than_millis === null && filter.ids.length === 0;

function say(text, tone = null) {
  const message = byId("attention-message");
  setText(message, text);
  if (tone === null) delete message.dataset.tone;
  else message.dataset.tone = tone;
}

/** Reads the list. The preview closes, because it can differ from what is selected now; the results of a redrive stay. */
async function load({ keepsPreview = false } = {}) {
  loading += 1;
  const mine = loading;
  const area = byId("entries");
  let filter;
  try {
    filter = readFilter(false);
  } catch (error) {
    say(error.message, "bad");
    return;
  }
  if (!keepsPreview) closePreview();
  area.setAttribute("aria-busy", "true");
  say("Reading …");
  try {
    const answer = await post("/api/attention", { kind, filter });
    if (mine !== loading) return;
    found = answer;
    shown = ROWS;
    say(found.entries.length === 0 ? "" : plural(found.entries.length, "entry", "entries"));
    render();
  } catch (error) {
    if (mine !== loading) return;
    found = null;
    say(error.message, "bad");
    area.replaceChildren();
  }
  area.setAttribute("aria-busy", "false");
}

function render() {
  setText(byId("attention-at"), `Read at ${time(found.looked_at)}`);
  renderReasons();
  const notes = [...(found.notes ?? [])];
  if (found.not_inspected !== null && found.not_inspected !== "0") notes.push(`About ${count(found.not_inspected)} more could not be inspected.`);
  setLines(byId("attention-notes"), notes);
  renderEntries();
  updateButton();
}

/** The reasons with their counts, as choices. The chosen one stays chosen. */
function renderReasons() {
  const select = byId("filter-reason");
  const chosen = select.value;
  const reasons = Object.entries(found.by_reason);
  if (chosen !== "" && !(chosen in found.by_reason)) reasons.push([chosen, "0"]);
  select.replaceChildren(el("option", { value: "", text: "any" }), ...reasons.map(([reason, number]) => el("option", { value: reason, text: `${reason} (${count(number)})` })));
  select.value = chosen;
  byId("reasons").replaceChildren(...Object.entries(found.by_reason).map(([reason, number]) => reasonButton(reason, number, chosen === reason)));
}

/** A reason with its count; pressed, it is the filter. */
function reasonButton(reason, number, isChosen) {
  const choose = () => {
    selected.clear();
    byId("filter-reason").value = isChosen ? "" : reason;
    load();
  };
  return el("button", { type: "button", class: "reason", "aria-pressed": String(isChosen), "data-testid": "reason", onclick: choose }, el("strong", { text: count(number) }), ` ${reason}`);
}

function renderEntries() {
  const area = byId("entries");
  if (found.entries.length === 0) {
    area.replaceChildren(el("p", { class: "empty", "data-testid": "empty", text: isEmpty(readFilter(false)) ? "Nothing here needs you." : "No entry matches the filter." }));
    return;
  }
  const canSelect = about?.allows_changes && kind !== "refused";
  const rows = found.entries.slice(0, shown).map((entry) => row(entry, canSelect));
  const columns = [canSelect ? "" : null, "Notification", "Type", "Reason", "Since", "Detail"].filter((text) => text !== null);
  const more = found.entries.length - rows.length;
  area.replaceChildren(
    table(columns, rows),
    ...(more > 0 ? [el("button", { type: "button", class: "button", text: `Show more (${count(more)} not shown)`, onclick: showMore })] : []),
  );
}

function showMore() {
  shown += ROWS;
  renderEntries();
}

function table(columns, rows) {
  return el("table", { class: "entries" }, el("thead", {}, el("tr", {}, ...columns.map((text) => (text === "" ? el("td") : el("th", { scope: "col", text }))))), el("tbody", {}, ...rows));
}

function row(entry, canSelect) {
  return el("tr", { "data-testid": "entry", "data-key": entry.key }, canSelect ? el("td", { class: "choose" }, choice(entry)) : null, ...cells(entry));
}

function choice(entry) {
  if (!entry.is_redrivable || entry.notification_id === null) return el("span", { class: "muted", title: "A redrive cannot help", "aria-label": "cannot be selected", text: "–" });
  const box = el("input", { type: "checkbox", "data-testid": "select", "aria-label": `Select ${entry.notification_id}` });
  box.checked = selected.has(entry.notification_id);
  box.addEventListener("change", () => {
    if (box.checked) selected.add(entry.notification_id);
    else selected.delete(entry.notification_id);
    updateButton();
  });
  return box;
}

function cells(entry) {
  const id = entry.notification_id;
  return [
    el("td", { class: "mono", "data-label": "Notification" }, id === null ? el("span", { class: "muted", text: `message ${entry.key}` }) : el("a", { href: `#/notification/${encodeURIComponent(id)}`, text: id })),
    el("td", { "data-label": "Type", text: entry.notification_type ?? "–" }),
    el("td", { "data-label": "Reason" }, el("span", { class: `flag ${entry.is_redrivable ? "info" : "plain"}`, text: entry.reason })),
    el("td", { class: "nowrap", "data-label": "Since", title: entry.since, text: entry.since === null ? "–" : time(entry.since) }),
    el("td", { class: "detail", "data-label": "Detail", text: entry.detail }),
  ];
}

function updateButton() {
  const button = byId("preview-button");
  show(button, kind !== "refused");
  setOff(button, !about?.allows_changes);
  setText(button, selected.size > 0 ? `Preview ${count(selected.size)} selected` : "Preview redrive");
}

async function requestPreview() {
  if (isOff(byId("preview-button"))) {
    say("This console is read-only. Start it with --allow-changes to redrive.", "bad");
    return;
  }
  try {
    const filter = readFilter(true);
    if (isEmpty(filter)) {
      say("Choose a type, a reason or an age, or select entries. A redrive of everything is refused.", "bad");
      return;
    }
    closePreview();
    say("Preparing the preview …");
    const mine = loading;
    const answer = await post("/api/preview", { kind, filter });
    // A preview of a list that somebody has left must not stand beside another one.
    if (mine !== loading) return;
    preview = { ...answer, results: new Map() };
    say("");
    renderPreview();
  } catch (error) {
    say(error.message, "bad");
  }
}

function closePreview() {
  preview = null;
  const panel = byId("preview-panel");
  panel.replaceChildren();
  show(panel, false);
}

function renderPreview() {
  const panel = byId("preview-panel");
  const { entries, command, notes = [] } = preview;
  const rows = entries.map((entry) => {
    const result = el("td", { class: "applied", "data-testid": "applied", "data-label": "Result" });
    preview.results.set(entry.key, result);
    return el("tr", { "data-testid": "preview-entry", "data-key": entry.key }, ...cells(entry).slice(0, 4), result);
  });
  const apply = el("button", { type: "button", class: "button primary", "data-testid": "apply", text: `Redrive ${entries.length === 1 ? "this entry" : `these ${count(entries.length)} entries`}`, onclick: () => applyPreview(apply) });
  setOff(apply, entries.length === 0);
  panel.replaceChildren(
    el("div", { class: "panel-head" }, el("h3", { id: "preview-title", text: entries.length === 0 ? "Nothing to redrive" : `Redrive exactly ${plural(entries.length, "entry", "entries")}` }), el("button", { type: "button", class: "button quiet", text: "Close", "data-testid": "preview-close", onclick: closePreview })),
    el("ul", { class: "notes" }, ...notes.map((text) => el("li", { text }))),
    command === "" ? null : el("div", { class: "command-line" }, el("code", { "data-testid": "preview-command", text: command }), copyButton(command)),
    el("div", { class: "confirm-row" }, apply, el("span", { class: "confirm-state", role: "status", "data-testid": "apply-state", text: "This preview is valid for ten minutes and for one use." })),
    el("progress", { max: String(Math.max(entries.length, 1)), value: "0", "aria-label": "Progress of the redrive" }),
    el("div", { class: "table-wrap" }, table(["Notification", "Type", "Reason", "Since", "Result"], rows)),
  );
  show(panel, true);
  panel.focus({ preventScroll: true });
  panel.scrollIntoView({ block: "nearest" });
}

async function applyPreview(button) {
  if (isOff(button) || preview === null) return;
  const mine = preview;
  setOff(button, true);
  stateOf("Redriving …");
  try {
    const { applied } = await post("/api/apply", { token: mine.token });
    if (preview !== mine) return;
    applied.forEach(showResult);
    const done = applied.filter((one) => one.is_redriven).length;
    stateOf(`${count(done)} of ${plural(mine.entries.length, "entry", "entries")} redriven.`);
    selected.clear();
    load({ keepsPreview: true });
  } catch (error) {
    if (preview !== mine) return;
    error.applied?.forEach(showResult);
    stateOf(error.message, "bad");
  }
}

function stateOf(text, tone) {
  const state = byId("preview-panel").querySelector("[role=status]");
  setText(state, text);
  if (tone) state.dataset.tone = tone;
}

function showResult(applied) {
  const cell = preview.results.get(applied.key);
  if (cell === undefined) return;
  setText(cell, applied.result);
  cell.dataset.tone = applied.is_redriven ? "good" : "warn";
  const done = [...preview.results.values()].filter((one) => one.dataset.tone !== undefined).length;
  byId("preview-panel").querySelector("progress").value = done;
}

/** A result that arrives while the redrive runs. */
export function onProgress({ token, applied }) {
  if (preview?.token === token) showResult(applied);
}
