// The page: routes, the sentence, and what each event of the server changes.

import { Events, get, readToken, setToken } from "/page/api.js";
import { buildAttention, closeAttention, onProgress, openAttention, setAbout } from "/page/attention.js";
import { buildCharts, showCharts, updateCharts } from "/page/charts.js";
import { byId, el, setAttribute, setLines, setText, show } from "/page/dom.js";
import { buildFlow, updateFlow } from "/page/flow.js";
import { count, isPositive, plural, time } from "/page/format.js";
import { buildLab, updateLab } from "/page/lab.js";
import { buildTheme } from "/page/theme.js";
import { buildTrace, closeTrace, openTrace } from "/page/trace.js";

/** A screen reader hears the sentence when it changes, but not more often than this. */
const LIVE_MILLIS = 15_000;

const VIEWS = ["token", "pipeline", "lab", "charts", "notification", "attention"];

let about = null;
let overview = null;
let lab = null;
let events = null;
let route = null;
let spokenAt = 0;
let isLost = false;
/** What the pipeline does not answer now: the name of the event, and the reason. */
const problems = new Map();

// ---------------------------------------------------------------- routes

function readRoute() {
  const [, name = "", ...rest] = location.hash.split("/");
  if (name === "notification" && rest.length > 0) return { name, id: decode(rest.join("/")) };
  if (name === "attention") return { name, kind: rest[0] };
  if (name === "charts") return { name };
  return { name: "pipeline" };
}

function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** The sections of a route. The pipeline of AWS shows its charts too; a local one shows the lab. */
function sectionsOf({ name }) {
  if (name !== "pipeline") return [name];
  return ["pipeline", about?.has_lab ? "lab" : "charts"];
}

function applyRoute() {
  if (about === null) return;
  const next = readRoute();
  const isMove = route !== null && route.name !== next.name;
  if (route?.name === "notification" && next.name !== "notification") closeTrace();
  if (route?.name === "attention" && next.name !== "attention") closeAttention();
  route = next;
  const sections = sectionsOf(next);
  for (const view of VIEWS) show(byId(`view-${view}`), sections.includes(view));
  show(byId("hero"), true);
  setAttribute(byId("hero"), "data-small", next.name === "pipeline" ? null : "true");
  showCharts(sections.includes("charts"));
  for (const link of document.querySelectorAll("[data-route]")) {
    setAttribute(link, "aria-current", link.dataset.route === next.name ? "page" : null);
  }
  if (next.name === "notification") {
    byId("search").value = next.id;
    openTrace(next.id);
  }
  if (next.name === "attention") openAttention(next.kind);
  document.title = `${{ notification: next.id, attention: "What needs you", charts: "Charts" }[next.name] ?? "Pipeline"} · ${about.stack} · onewrite`;
  if (isMove) {
    scrollTo(0, 0);
    byId("main").focus({ preventScroll: true });
  }
}

// ---------------------------------------------------------------- the sentence

/** Sets numbers in bold, and "12 lost" in red. The text stays the server's, letter by letter. */
function showSentence(sentence) {
  const heading = byId("sentence");
  if (heading.textContent === sentence) return;
  const parts = sentence.split(/(\d[\d,]*(?: lost)?)/);
  heading.replaceChildren(
    ...parts.map((part, index) => {
      if (index % 2 === 0) return part;
      const tone = part.endsWith(" lost") ? (part === "0 lost" ? "good" : "bad") : null;
      return el("strong", { "data-tone": tone, text: part });
    }),
  );
  const now = Date.now();
  if (now - spokenAt >= LIVE_MILLIS) {
    spokenAt = now;
    setText(byId("sentence-live"), sentence);
  }
}

function updateOverview() {
  if (overview === null) return;
  // The numbers of the lab come more often.
  const sentence = lab?.sentence || overview.sentence;
  showSentence(sentence);
  const { period } = overview.totals;
  const isSaid = sentence.toLowerCase().includes(period.toLowerCase());
  setText(byId("period"), isSaid ? "" : `${period} · `);
  const unread = overview.not_read.length;
  setText(byId("as-of"), `as of ${time(overview.at)}`);
  // Without this, an alarm that cannot be read would look like none.
  setText(byId("unread"), unread === 0 ? "" : ` · ${plural(unread, "part")} could not be read, see below`);
  updateFlow(overview, lab);
  updateProblems();
  const letters = [overview.totals.dead_letters, overview.totals.failures].filter(isPositive);
  const badge = byId("nav-count");
  show(badge, letters.length > 0);
  setText(badge, count(String(letters.reduce((sum, one) => sum + BigInt(one), 0n))));
}

/** What the pipeline does not answer: the numbers are dimmed, and a notice gives the reason. Nothing moves. */
function updateProblems() {
  const isStale = isLost || problems.size > 0;
  setAttribute(document.documentElement, "data-stale", isStale ? "true" : null);
  const lines = [...problems].map(([name, reason]) => `The ${name} cannot be read: ${reason}`);
  setLines(byId("not-read"), [...lines, ...(overview?.not_read ?? [])]);
  if (isLost) return;
  setAttribute(byId("connection"), "data-kind", isStale ? "waiting" : "live");
  setText(byId("connection-text"), isStale ? "Stale" : "Live");
  show(byId("offline"), isStale && about !== null);
  show(byId("retry"), false);
  setText(byId("offline-title"), "Not up to date.");
  setText(byId("offline-reason"), lines[0] ?? "");
  setText(byId("offline-wait"), "");
}

// ---------------------------------------------------------------- the connection

const HANDLERS = {
  async connected() {
    about = await get("/api/about");
    setText(byId("stack"), about.stack);
    setText(byId("location"), about.location);
    setAttribute(document.documentElement, "data-local", about.is_local ? "true" : null);
    setAbout(about);
    applyRoute();
  },
  event(name, data) {
    if (name === "problem") problems.set(data.of, data.error);
    if (name === "problem" || problems.delete(name)) updateProblems();
    if (name === "overview") {
      overview = data;
      updateOverview();
    } else if (name === "lab") {
      lab = data;
      updateLab(lab);
      updateOverview();
    } else if (name === "charts") updateCharts(data);
    else if (name === "progress") onProgress(data);
  },
  state({ kind, seconds, reason }) {
    setAttribute(byId("connection"), "data-kind", kind);
    setText(byId("connection-text"), { live: "Live", connecting: "Connecting", waiting: "Lost" }[kind]);
    // While it tries again, the notice stays: it would flicker.
    if (kind === "connecting") return;
    isLost = kind === "waiting";
    // A new connection reports the problems that there are.
    problems.clear();
    updateProblems();
    show(byId("offline"), isLost && about !== null);
    // Spoken once for each state, not each second.
    setText(byId("connection-live"), isLost ? `Connection lost. ${reason}` : "Connected");
    if (!isLost) return;
    setText(byId("offline-title"), "Connection lost.");
    show(byId("retry"), true);
    setText(byId("offline-reason"), reason);
    setText(byId("offline-wait"), `Next attempt in ${seconds} s.`);
    if (about === null) askForToken(reason);
  },
  unauthorized() {
    askForToken("The token is not valid for this console. A restarted console has a new token: open the address that it printed.");
    setAttribute(byId("connection"), "data-kind", "waiting");
    setText(byId("connection-text"), "No access");
    show(byId("offline"), false);
  },
};

function askForToken(reason) {
  for (const view of VIEWS) show(byId(`view-${view}`), view === "token");
  show(byId("hero"), false);
  if (reason) setText(byId("token-text"), reason);
}

function start() {
  events = new Events(HANDLERS);
  events.run();
}

function build() {
  buildTheme(byId("theme"));
  buildFlow();
  buildTrace();
  buildAttention();
  buildCharts();
  buildLab();
  byId("search-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const id = byId("search").value.trim();
    if (id !== "") location.hash = `#/notification/${encodeURIComponent(id)}`;
  });
  byId("token-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const text = byId("token-input").value.trim();
    if (text === "") return;
    setToken(text.split("#token=").at(-1));
    location.hash = "#/";
    location.reload();
  });
  byId("skip").addEventListener("click", (event) => {
    event.preventDefault();
    byId("main").focus();
  });
  byId("retry").addEventListener("click", () => events?.retryNow());
  addEventListener("keydown", (event) => {
    const isTyping = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
    if (event.key !== "/" || isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    byId("search").focus();
  });
  addEventListener("hashchange", () => {
    // The address with a new token, opened in a tab that has the page already.
    if (location.hash.startsWith("#token=")) {
      readToken();
      location.reload();
    } else applyRoute();
  });
}

build();
if (readToken()) start();
else askForToken(null);
