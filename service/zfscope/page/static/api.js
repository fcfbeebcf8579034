// Calls of the service: errors as sentences, streams with progress, and recovery when the server is away.

/** An error of the service. reason: such as NOT_FOUND. field: the wrong field of the request, or empty. */
export class ServiceError extends Error {
  constructor({ reason = "INTERNAL", message = "the server gave no reason", field = "", fields = {} }, status) {
    super(message);
    Object.assign(this, { reason, field, fields, status });
  }
}

/** Reactions of the page: `away` and `back` of the server, `signIn` (awaited), `photoGone` (awaited, with the hash). */
export const reactions = {
  away: () => {}, back: () => {}, signIn: async () => {}, photoGone: async () => false,
};

const RETRY_MS = 1000;
const BUSY_TRIES = 5;
const STREAM_TRIES = 3;
// Reasons with which a server that stops ends its streams.
const ENDED = ["CANCELLED", "NOT_READY"];
let restored = null;
let pending = 0;
const idle = [];

/** Return JSON of an address relative to the page. */
export async function getJson(path, options = {}) {
  return (await call(path, options)).json();
}

/** Post a JSON body and return the JSON answer. */
export async function post(path, body, options = {}) {
  const response = await call(path, {
    ...options, method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
  });
  return response.json();
}

/** Return the response of a request; wait for a server that is away or busy, and repeat the request. */
export async function call(path, options = {}) {
  pending += 1;
  try {
    return await repeat(path, options);
  } finally {
    pending -= 1;
    if (pending === 0) idle.splice(0).forEach((resolve) => resolve());
  }
}

/** Wait until no request is in flight, so that work in the background does not delay an answer. */
export function untilIdle() {
  return pending === 0 ? Promise.resolve() : new Promise((resolve) => idle.push(resolve));
}

async function repeat(path, options) {
  const { wait = true, mend = true, ...init } = options;
  const tried = new Set();
  let busy = 0;
  for (;;) {
    const response = await attempt(path, init);
    if (response?.ok) return response;
    if (response === null || isAway(response)) {
      if (!wait) throw response === null ? new ServiceError({ reason: "NOT_READY", message: "the server does not answer" }, 0) : await errorOf(response);
      await untilRestored(init.signal);
      continue;
    }
    if (response.status === 429 && response.headers.has("Retry-After") && busy < BUSY_TRIES) {
      busy += 1;
      await pause(1000 * Math.min(Number(response.headers.get("Retry-After")) || 1, 5), init.signal);
      continue;
    }
    const error = await errorOf(response);
    if (!mend || !(await isMended(error, typeof init.body === "string" ? init.body : path, tried))) throw error;
  }
}

async function attempt(path, init) {
  try {
    return await fetch(path, { credentials: "same-origin", ...init });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    return null;
  }
}

// A proxy in front of a server that restarts answers 502 or 504 without JSON; the service itself 503, and 499 to
// requests that it cancels when it stops.
function isAway(response) {
  const json = (response.headers.get("content-type") || "").includes("json");
  return [499, 503].includes(response.status) || ([502, 504].includes(response.status) && !json);
}

async function errorOf(response) {
  const answer = await response.json().catch(() => ({}));
  return new ServiceError(answer.error || { message: `the server answered with status ${response.status}` }, response.status);
}

/** Mend what the page can mend by itself, once each: a missing token, and a photo, named in `text`, that the server lost. */
async function isMended(error, text, tried) {
  if (tried.has(error.reason)) return false;
  tried.add(error.reason);
  if (error.reason === "UNAUTHENTICATED") {
    await reactions.signIn();
    return true;
  }
  if (error.reason !== "NOT_FOUND" || !/^photos?\b/.test(error.field)) return false;
  return reactions.photoGone(text);
}

function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    signal?.addEventListener("abort", () => reject(new DOMException("aborted", "AbortError")), { once: true });
    setTimeout(resolve, ms);
  });
}

/** Wait until the server answers again; one poll for all callers. Late answers of the time before do not end it. */
function untilRestored(signal) {
  restored ||= poll();
  return new Promise((resolve, reject) => {
    signal?.addEventListener("abort", () => reject(new DOMException("aborted", "AbortError")), { once: true });
    restored.then(resolve, reject);
  });
}

async function poll() {
  reactions.away();
  for (;;) {
    await pause(RETRY_MS);
    const response = await attempt("v1/health", {});
    if (response && !isAway(response)) break;
  }
  restored = null;
  reactions.back();
}

/**
 * Run an analysis that reports progress; return its result. One that a stopping server ended begins again.
 * report: called with each report of progress. signal: cancels the analysis on the server, too.
 */
export async function analyze(path, body, { report = () => {}, signal } = {}) {
  for (let tried = 1; ; tried += 1) {
    const result = await resultOf(path, body, report, signal);
    if (result) return result;
    if (signal?.aborted) throw new DOMException("aborted", "AbortError");
    if (tried === STREAM_TRIES) throw new ServiceError({ reason: "NOT_READY", message: "the server ended the analysis before its result; run it again" }, 0);
    await untilRestored(signal);
  }
}

/** Return the result of a stream; null if it ended before. */
async function resultOf(path, body, report, signal) {
  const response = await call(path, {
    method: "POST", signal, body: JSON.stringify(body),
    headers: { "Content-Type": "application/json", Accept: "text/event-stream" },
  });
  for await (const { event, data } of events(response.body)) {
    if (event === "progress") report(data);
    else if (event === "result") return data;
    else if (event === "error" && ENDED.includes(data.error?.reason)) return null;
    else if (event === "error") throw new ServiceError(data.error || data, 0);
  }
  return null;
}

async function* events(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  try {
    for (;;) {
      const { value, done } = await reader.read().catch((error) => {
        if (error.name === "AbortError") throw error;
        return { done: true };
      });
      if (done) return;
      text += value.replaceAll("\r\n", "\n");
      const blocks = text.split("\n\n");
      text = blocks.pop();
      for (const block of blocks) yield* parsed(block);
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

function* parsed(block) {
  const lines = block.split("\n");
  const event = lines.find((line) => line.startsWith("event:"))?.slice(6).trim();
  const data = lines.filter((line) => line.startsWith("data:")).map((line) => line.slice(5)).join("\n");
  if (event) yield { event, data: JSON.parse(data || "null") };
}

/**
 * Return a function that runs `work(argument, signal)` for the newest argument: one run at a time; arguments that come
 * in the meantime replace each other. `cancel()` aborts the run in flight and returns whether there was one. onResult: called after each run with null or
 * the error.
 */
export function newestWins(work, onResult) {
  let running = null;
  let next = null;
  const run = async (argument) => {
    const controller = new AbortController();
    running = controller;
    try {
      await work(argument, controller.signal);
      onResult(null);
    } catch (error) {
      if (error.name !== "AbortError") onResult(error);
    }
    running = null;
    if (next) {
      const [newest] = next;
      next = null;
      run(newest);
    }
  };
  const ask = (argument) => {
    if (running) next = [argument];
    else run(argument);
  };
  ask.cancel = () => {
    const wasRunning = Boolean(running || next);
    next = null;
    running?.abort();
    return wasRunning;
  };
  return ask;
}
