// Numbers, durations and times as text. Counts arrive as decimal strings and stay exact: they never become a Number.

/** "1204" → "1,204". */
export function count(text) {
  if (text === null || text === undefined) return "–";
  return String(text).replace(/\B(?=(\d{3})+(?!\d))/g, ",");
}

export const isPositive = (text) => typeof text === "string" && /[1-9]/.test(text);

/** A rate per second. */
export function rate(perSecond) {
  if (perSecond === null || perSecond === undefined) return "–";
  if (perSecond === 0) return "0/s";
  if (perSecond < 0.1) return "<0.1/s";
  return `${perSecond < 100 ? perSecond.toFixed(1) : count(perSecond.toFixed(0))}/s`;
}

const pad = (number, digits = 2) => String(number).padStart(digits, "0");

/** A duration by its two greatest units, as `onewrite trace` prints it. */
export function duration(millisText) {
  if (millisText === null || millisText === undefined) return "–";
  const millis = BigInt(millisText);
  const seconds = millis / 1000n;
  const [minutes, hours, days] = [seconds / 60n, seconds / 3600n, seconds / 86400n];
  if (days > 0n) return `${days}d${pad(hours % 24n)}h`;
  if (hours > 0n) return `${hours}h${pad(minutes % 60n)}m`;
  if (minutes > 0n) return `${minutes}m${pad(seconds % 60n)}s`;
  return `${seconds}.${pad(millis % 1000n, 3)}s`;
}

/** A duration for a number that changes every second: no more digits than anybody can read. */
export function age(millisText) {
  if (millisText === null || millisText === undefined) return "–";
  const millis = BigInt(millisText);
  if (millis >= 60_000n) return duration(millisText);
  return millis < 1000n ? `${millis} ms` : `${millis / 1000n} s`;
}

/** A measured duration in milliseconds, such as a percentile. */
export function milliseconds(value) {
  if (value < 1000) return `${value < 10 ? Number(value.toFixed(1)) : Math.round(value)} ms`;
  if (value < 60_000) return `${Number((value / 1000).toFixed(value < 10_000 ? 2 : 1))} s`;
  return duration(String(Math.round(value)));
}

/** A large number by its unit, such as 12k. For axes only. */
export function short(value) {
  if (value >= 1e9) return `${Number((value / 1e9).toFixed(1))}G`;
  if (value >= 1e6) return `${Number((value / 1e6).toFixed(1))}M`;
  if (value >= 1e4) return `${Number((value / 1e3).toFixed(1))}k`;
  return count(Number(value.toFixed(2)));
}

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

const date = (at) => `${at.getDate()} ${MONTHS[at.getMonth()]}`;
const clock = (at) => `${pad(at.getHours())}:${pad(at.getMinutes())}:${pad(at.getSeconds())}`;

/** A time of this machine's zone; with the date if it is another day. */
export function time(rfc3339, { withMillis = false } = {}) {
  const at = new Date(rfc3339);
  if (Number.isNaN(at.getTime())) return String(rfc3339);
  const isToday = at.toDateString() === new Date().toDateString();
  const text = withMillis ? `${clock(at)}.${pad(at.getMilliseconds(), 3)}` : clock(at);
  return isToday ? text : `${date(at)} ${text}`;
}

/** Hours and minutes, for an axis. */
export function axisTime(rfc3339, withSeconds) {
  const at = new Date(rfc3339);
  if (Number.isNaN(at.getTime())) return "";
  return withSeconds ? clock(at) : `${pad(at.getHours())}:${pad(at.getMinutes())}`;
}

/** "1 entry", "2 entries". */
export function plural(number, one, many = `${one}s`) {
  return `${count(number)} ${String(number) === "1" ? one : many}`;
}
