// The focus of the keyboard: a view that is left or drawn anew would lose it to the top of the page.

import { find, findAll } from "./dom.js";

const FIRST = [".stage", "h1 a, [aria-current]", "a[href], button, select, input"];
// Element that had the focus, by view.
const last = new WeakMap();
let byKeyboard = false;

window.addEventListener("keydown", () => { byKeyboard = true; }, true);
window.addEventListener("pointerdown", () => { byKeyboard = false; }, true);
window.addEventListener("focusin", ({ target }) => {
  const view = target.closest?.("main > section");
  if (view) last.set(view, target);
});

const isShown = (element) => Boolean(element?.isConnected && element.checkVisibility({ visibilityProperty: true }));

/** Move the focus to where it was in the view that is shown, or to the first thing there. */
export function focusView() {
  const view = find("main > section:not([hidden])");
  const choices = [last.get(view), ...FIRST.flatMap((selector) => findAll(selector, view)), find(".top nav [aria-current]")];
  choices.find(isShown)?.focus();
}

/** Move the focus of a person who uses the keyboard, if a change of the page lost it. */
export function keepFocus() {
  const { activeElement: active, body } = document;
  if (byKeyboard && (active === body || !isShown(active))) focusView();
}
