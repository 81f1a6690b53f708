// The connection to the console's server: requests with the token, and one stream of events that reconnects.

const TOKEN_KEY = "onewrite-console-token";

/** The longest silence of the stream. The server sends a comment every 10 s. */
const SILENCE_MILLIS = 25_000;
const FIRST_WAIT_MILLIS = 1_000;
const LONGEST_WAIT_MILLIS = 15_000;
/** A page that is hidden for so long ends its stream: a browser has six connections for all tabs of a server, and on AWS each reading costs. */
const HIDDEN_MILLIS = 10_000;
/** The longest event. A longer one is a mistake, and must not fill the memory. */
const LONGEST_EVENT = 4 * 1024 * 1024;

let token = null;

/** Takes the token from the address, and removes it there: an address is copied and shown. */
export function readToken() {
  const found = /^#token=([^&#]+)(.*)$/.exec(location.hash);
  if (found) {
    setToken(decodeURIComponent(found[1]));
    history.replaceState(null, "", `${location.pathname}${found[2].startsWith("#/") ? found[2] : "#/"}`);
  } else {
    try {
      token = sessionStorage.getItem(TOKEN_KEY);
    } catch {
      token = null;
    }
  }
  return token !== null && token !== "";
}

export function setToken(text) {
  token = text;
  try {
    sessionStorage.setItem(TOKEN_KEY, text);
  } catch {
    // Without storage, a reload asks for the token again.
  }
}

/** An answer that is not a success, with its status: 0 if there was no answer. `applied` has what a redrive did until it failed. */
export class ApiError extends Error {
  constructor(status, message, applied = []) {
    super(message);
    this.status = status;
    this.applied = applied;
  }
}

async function request(path, options = {}) {
  let response;
  try {
    response = await fetch(path, {
      ...options,
      cache: "no-store",
      headers: { ...options.headers, Authorization: `Bearer ${token}` },
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "The console does not answer. If you restarted it, open its new address.");
  }
  if (response.ok) return response;
  let body = {};
  try {
    body = await response.json();
  } catch {
    // The status has to do.
  }
  throw new ApiError(response.status, body.error ?? `The console answered with status ${response.status}.`, body.applied);
}

export async function get(path, signal) {
  return (await request(path, { signal })).json();
}

/** `body` is an object, or JSON text if it has numbers that JavaScript cannot keep. */
export async function post(path, body) {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  const response = await request(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: text,
  });
  return response.json();
}

/** Reads server-sent events from a response until it ends. */
async function readEvents(response, onActivity, onEvent) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    onActivity();
    text += value.replaceAll("\r\n", "\n");
    if (text.length > LONGEST_EVENT) throw new ApiError(0, "An event of the console is too large.");
    for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
      dispatch(text.slice(0, end), onEvent);
      text = text.slice(end + 2);
    }
  }
}

function dispatch(block, onEvent) {
  let name = "message";
  const data = [];
  for (const line of block.split("\n")) {
    if (line.startsWith("event:")) name = line.slice(6).trim();
    else if (line.startsWith("data:")) data.push(line.slice(5).replace(/^ /, ""));
  }
  if (data.length > 0) onEvent(name, JSON.parse(data.join("\n")));
}

/** Waits until the page can be seen. */
async function visible() {
  while (document.hidden) await new Promise((resolve) => document.addEventListener("visibilitychange", resolve, { once: true }));
}

/**
 * Keeps one stream of events open while the page can be seen. Waits 1, 2, 4, … 15 s between two attempts.
 *
 * `handlers`: `event(name, data)`, `state(text)` with `{kind: "live" | "connecting" | "waiting", seconds?, reason?}`,
 * `connected()` before the first event of each connection, and `unauthorized()`.
 */
export class Events {
  #handlers;
  #isEnded = false;
  #wake = null;

  constructor(handlers) {
    this.#handlers = handlers;
  }

  async run() {
    let wait = FIRST_WAIT_MILLIS;
    while (!this.#isEnded) {
      this.#handlers.state({ kind: "connecting" });
      let reason = "The connection ended.";
      try {
        await this.#connect(() => {
          wait = FIRST_WAIT_MILLIS;
        });
      } catch (error) {
        if (error.status === 401) {
          this.#isEnded = true;
          this.#handlers.unauthorized();
          return;
        }
        reason = error.name === "AbortError" ? "The console was silent for too long." : error.message;
      }
      if (this.#isEnded) return;
      if (document.hidden) {
        await visible();
        continue;
      }
      await this.#pause(wait, reason);
      wait = Math.min(wait * 2, LONGEST_WAIT_MILLIS);
    }
  }

  async #connect(onSuccess) {
    const abort = new AbortController();
    let timer = 0;
    const onActivity = () => {
      clearTimeout(timer);
      timer = setTimeout(() => abort.abort(), SILENCE_MILLIS);
    };
    let hidden = 0;
    const onVisibility = () => {
      clearTimeout(hidden);
      if (document.hidden) hidden = setTimeout(() => abort.abort(), HIDDEN_MILLIS);
    };
    try {
      document.addEventListener("visibilitychange", onVisibility);
      onVisibility();
      onActivity();
      const response = await request("/api/events", { signal: abort.signal });
      await this.#handlers.connected();
      onSuccess();
      this.#handlers.state({ kind: "live" });
      await readEvents(response, onActivity, this.#handlers.event);
    } finally {
      document.removeEventListener("visibilitychange", onVisibility);
      clearTimeout(hidden);
      clearTimeout(timer);
      abort.abort();
    }
  }

  async #pause(millis, reason) {
    for (let left = Math.round(millis / 1000); left > 0 && !this.#isEnded; left -= 1) {
      this.#handlers.state({ kind: "waiting", seconds: left, reason });
      const isWoken = await new Promise((resolve) => {
        const timer = setTimeout(() => resolve(false), 1000);
        this.#wake = () => {
          clearTimeout(timer);
          resolve(true);
        };
      });
      this.#wake = null;
      if (isWoken) return;
    }
  }

  /** Tries again now, if it waits. */
  retryNow() {
    this.#wake?.();
  }
}
