// Sentences about errors and about the server, on top of the page.

import { find, h } from "./dom.js";

/** Show a sentence until it is closed or replaced by another of the same key. kind: error or note. */
export function notify(key, text, kind = "error") {
  dismiss(key);
  const close = h("button", { type: "button", class: "close", "aria-label": "Close this message", onclick: () => dismiss(key) }, "×");
  find("#notices").append(h("p", { class: kind, data: { key } }, h("span", {}, text), close));
}

/** Remove a sentence. */
export function dismiss(key) {
  for (const note of find("#notices").children) if (note.dataset.key === key) note.remove();
}

/** Remove the sentences about errors; those about the server stay. */
export function dismissErrors() {
  for (const note of [...find("#notices").children]) if (note.dataset.key !== "away") note.remove();
}

/** Show an error as a sentence; calls that were cancelled are none. */
export function notifyError(key, error) {
  if (error.name === "AbortError") return;
  if (!error.reason) console.error(error);
  notify(key, sentence(error));
}

/** Return a function that shows the error of a run, or removes the sentence about an earlier one. */
export const reporting = (key) => (error) => (error ? notifyError(key, error) : dismiss(key));

/** Return an error's message as a sentence, with the field that it is about. */
export function sentence(error) {
  const text = error.message || String(error);
  const capital = /^[a-z]+\b(?![_.[])/.test(text) ? text.charAt(0).toUpperCase() + text.slice(1) : text;
  return /[.!?]$/.test(capital) ? capital : `${capital}.`;
}

/** Say something to people who listen to the page instead of looking at it. */
export function announce(text) {
  find("#announcements").textContent = text;
}
