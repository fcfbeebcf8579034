// Dialogs of the page: keys, and the token of a service that requires one.

import { call } from "./api.js";
import { find, h } from "./dom.js";
import { sentence } from "./notices.js";

const KEYS = [
  ["V, B, F", "look at places, occlude a box, occlude a free shape"],
  ["Arrow keys", "on the photo: move the cursor or the box; on tiles: move between them"],
  ["Shift and arrow keys", "on the photo: resize the box"],
  ["Enter", "on the photo: pin the place; on a tile: open the unit"],
  ["S", "sweep the photo"],
  ["[ and ]", "layer before and after"],
  ["Left, Right", "on a unit's page: map before and after"],
  ["Escape", "cancel, clear, go back"],
  ["1, 2, 3", "photo, compare, analyzers"],
  ["?", "this list"],
];

/** Show the keys. */
export function showHelp() {
  const dialog = h("dialog", { "aria-labelledby": "keys-heading", onclose: () => dialog.remove() },
    h("h2", { id: "keys-heading", tabindex: "-1", autofocus: true }, "Keys"),
    h("dl", { class: "keys" }, KEYS.map(([key, meaning]) => h("div", {}, h("dt", {}, key), h("dd", {}, meaning)))),
    h("p", { class: "note" }, "Drop or paste a photo anywhere on the page. Photos stay in the server's memory for a while and are not stored."),
    h("div", { class: "row" }, h("button", { type: "button", class: "primary", onclick: () => dialog.close() }, "Close"), h("a", { href: "docs" }, "The same for programs")));
  find("body").append(dialog);
  dialog.showModal();
}

let pending = null;

/** Ask for the token until one is accepted; one dialog for all requests that need it. */
export function signIn() {
  pending ||= new Promise((resolve) => {
    const token = h("input", { type: "password", name: "token", required: true, autocomplete: "current-password", id: "token" });
    const wrong = h("p", { class: "wrong", role: "alert" });
    const dialog = h("dialog", { "aria-labelledby": "token-heading", oncancel: (event) => event.preventDefault() },
      h("form", { class: "token", onsubmit: async (event) => {
        event.preventDefault();
        try {
          await call("v1/session", { mend: false, method: "POST", body: new URLSearchParams({ token: token.value }) });
          dialog.close();
          dialog.remove();
          pending = null;
          resolve();
        } catch (error) {
          wrong.textContent = sentence(error);
        }
      } }, h("h2", { id: "token-heading" }, "This page needs a token"), h("label", { for: "token" }, "Token"), token, wrong,
      h("button", { class: "primary" }, "Sign in")));
    find("body").append(dialog);
    dialog.showModal();
  });
  return pending;
}
