// Charts as inline SVG. The server keeps the points; the page draws what it is given, with a gap where there is no data.

import { byId, el, setLines, setText, svg } from "/page/dom.js";
import { axisTime, milliseconds, short, time } from "/page/format.js";

const CHARTS = [
  ["throughput", "Throughput", "Notifications per second"],
  ["queue_to_stored", "Queue to stored", "From the queue to the table"],
  ["stored_to_done", "Stored to done", "From the table to DONE"],
  ["backlog", "Backlog", "Messages and records that wait"],
];

/** The drawing area in pixels; its width is the width of the plot, so that texts keep their size. */
const SIZE = { height: 190, left: 50, right: 10, top: 10, bottom: 24 };

const figures = new Map();
let latest = null;
let isVisible = false;

const UNITS = {
  milliseconds,
  per_second: (value) => `${short(value)}/s`,
  count: short,
};

export function buildCharts() {
  byId("charts").append(...CHARTS.map(buildChart));
  new ResizeObserver(() => {
    if (isVisible && latest !== null) drawAll();
  }).observe(byId("charts"));
}

function buildChart([name, title, hint]) {
  const parts = {
    plot: svg("svg", { height: SIZE.height, class: "plot", role: "img", tabindex: "0", "data-testid": `plot-${name}`, "aria-label": title }),
    legend: el("ul", { class: "legend" }),
    empty: el("p", { class: "plot-empty", text: "No data yet" }),
    at: el("span", { class: "legend-at muted", text: "\u00a0" }),
    title,
    index: null,
  };
  parts.plot.addEventListener("pointermove", (event) => point(parts, indexAt(parts, event)));
  parts.plot.addEventListener("pointerleave", () => point(parts, null));
  parts.plot.addEventListener("blur", () => point(parts, null));
  parts.plot.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step === undefined || latest === null || latest.times.length === 0) return;
    event.preventDefault();
    const last = latest.times.length - 1;
    point(parts, Math.min(Math.max((parts.index ?? last + (step < 0 ? 1 : 0)) + step, 0), last));
  });
  figures.set(name, parts);
  return el(
    "figure",
    { class: "panel chart", "data-testid": `chart-${name}` },
    el("figcaption", {}, el("h3", { text: title }), el("span", { class: "muted", text: hint }), parts.at),
    el("div", { class: "plot-box" }, parts.plot, parts.empty),
    parts.legend,
  );
}

export function updateCharts(charts) {
  latest = charts;
  if (isVisible) drawAll();
}

export function showCharts(visible) {
  isVisible = visible;
  if (visible && latest !== null) drawAll();
}

function drawAll() {
  const span = latest.times.length > 1 ? `${axisTime(latest.times[0])} to ${axisTime(latest.times.at(-1))}, ` : "";
  setText(byId("charts-note"), [`${span}one point each ${latest.period_seconds} s`, ...latest.not_read].join(" · "));
  for (const [name, parts] of figures) {
    draw(parts, latest.series.filter((one) => one.chart === name));
  }
}

/** A round number at or above `value`, so that the axis has four even steps. */
function niceTop(value) {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 4, 6, 8, 10].map((step) => step * power).find((top) => top >= value);
}

const x = (index, points, width) => SIZE.left + ((width - SIZE.left - SIZE.right) * index) / Math.max(points - 1, 1);
const y = (value, top) => SIZE.height - SIZE.bottom - ((SIZE.height - SIZE.top - SIZE.bottom) * value) / top;

function draw(parts, series) {
  parts.width = parts.plot.clientWidth;
  const values = series.flatMap((one) => one.values).filter((value) => value !== null);
  parts.series = series;
  parts.top = niceTop(Math.max(0, ...values));
  parts.empty.hidden = values.length > 0;
  const unit = UNITS[series[0]?.unit] ?? short;
  parts.plot.replaceChildren(...grid(parts, unit), ...series.flatMap((one, index) => line(parts, one.values, index)), ...series.flatMap((one) => endLabel(parts, one)), (parts.cursor = svg("g", { class: "cursor" })));
  parts.plot.setAttribute("aria-label", `${parts.title}: ${series.map((one) => describe(one)).join(", ") || "no data"}. Use the arrow keys to read single points.`);
  point(parts, parts.index !== null && parts.index < latest.times.length ? parts.index : null);
}

function describe(series) {
  const last = series.values.findLast((value) => value !== null);
  return `${series.name} ${last === undefined ? "no data" : (UNITS[series.unit] ?? short)(last)}`;
}

function grid({ top, width }, unit) {
  const nodes = [];
  for (const part of [0, 0.5, 1]) {
    const at = y(top * part, top);
    nodes.push(svg("line", { class: "grid", x1: SIZE.left, x2: width - SIZE.right, y1: at, y2: at }));
    nodes.push(svg("text", { class: "tick", x: SIZE.left - 6, y: at + 3.5, "text-anchor": "end", text: part === 0 ? "0" : unit(top * part) }));
  }
  const points = latest.times.length;
  if (points < 2) return nodes;
  const withSeconds = latest.period_seconds * points < 600;
  [0, 0.5, 1].forEach((part, index) => {
    const at = Math.round((points - 1) * part);
    nodes.push(svg("text", { class: "tick", x: x(at, points, width), y: SIZE.height - 6, "text-anchor": ["start", "middle", "end"][index], text: axisTime(latest.times[at], withSeconds) }));
  });
  return nodes;
}

/** A line for each run of points; a point alone is a dot. */
function line({ top, width }, values, index) {
  const nodes = [];
  let run = [];
  const end = () => {
    if (run.length === 1) nodes.push(svg("circle", { class: `dot-${index % 4}`, cx: run[0][0], cy: run[0][1], r: 2.2 }));
    else if (run.length > 1) nodes.push(svg("polyline", { class: `line line-${index % 4}`, points: run.map(([a, b]) => `${a.toFixed(1)},${b.toFixed(1)}`).join(" ") }));
    run = [];
  };
  values.forEach((value, at) => {
    if (value === null) end();
    else run.push([x(at, latest.times.length, width), y(value, top)]);
  });
  end();
  return nodes;
}

/** The name of a series at its last point, so that no reader depends on colours. */
function endLabel({ top, width }, series) {
  const at = series.values.findLastIndex((value) => value !== null);
  if (at < 0) return [];
  return [svg("text", { class: "end", x: x(at, latest.times.length, width) - 4, y: Math.max(y(series.values[at], top) - 5, SIZE.top + 8), "text-anchor": "end", text: series.name })];
}

function indexAt(parts, event) {
  if (latest === null || latest.times.length === 0) return null;
  const box = parts.plot.getBoundingClientRect();
  const share = (event.clientX - box.left - SIZE.left) / (box.width - SIZE.left - SIZE.right);
  return Math.min(Math.max(Math.round(share * (latest.times.length - 1)), 0), latest.times.length - 1);
}

/** Shows the values of one time in the legend, or the newest ones. */
function point(parts, index) {
  parts.index = index;
  if (parts.series === undefined || parts.cursor === undefined) return;
  const points = latest.times.length;
  setText(parts.at, index === null ? "\u00a0" : time(latest.times[index]));
  setLines(
    parts.legend,
    parts.series.map((one) => {
      if (index === null) return describe(one);
      const value = one.values[index];
      return `${one.name} ${value === null || value === undefined ? "no data" : (UNITS[one.unit] ?? short)(value)}`;
    }),
  );
  [...parts.legend.children].forEach((child, at) => {
    child.className = `key-${at % 4}`;
  });
  if (index === null) {
    parts.cursor.replaceChildren();
    return;
  }
  const at = x(index, points, parts.width);
  parts.cursor.replaceChildren(
    svg("line", { x1: at, x2: at, y1: SIZE.top, y2: SIZE.height - SIZE.bottom }),
    ...parts.series.flatMap((one, number) => (one.values[index] === null ? [] : [svg("circle", { class: `dot-${number % 4}`, cx: at, cy: y(one.values[index], parts.top), r: 3.5 })])),
  );
}
