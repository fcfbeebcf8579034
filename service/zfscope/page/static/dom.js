// Elements, numbers as text, and the smallest helpers of all modules.

const SVG = "http://www.w3.org/2000/svg";

/** Return an element. Properties: `class`, `data`, `onclick` and the like, everything else an attribute. */
export function h(tag, properties = {}, ...children) {
  return build(document.createElement(tag), properties, children);
}

/** Return an element of a drawing. */
export function svg(tag, properties = {}, ...children) {
  return build(document.createElementNS(SVG, tag), properties, children);
}

function build(node, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "data") Object.assign(node.dataset, value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

export const find = (selector, root = document) => root.querySelector(selector);
export const findAll = (selector, root = document) => [...root.querySelectorAll(selector)];

/** Replace the children of an element. */
export function fill(node, ...children) {
  node.replaceChildren(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** Return a probability as a percentage. */
export function percent(value) {
  return `${(100 * value).toFixed(1)} %`;
}

/** Return a number with three significant digits. */
export function strength(value) {
  if (value === null || value === undefined) return "";
  if (value === 0) return "0";
  const size = Math.abs(value);
  return size >= 1e5 || size < 1e-3 ? value.toExponential(1) : String(Number(value.toPrecision(3)));
}

/** Return a number of seconds as text. */
export function seconds(value) {
  if (value === null || value === undefined) return "";
  if (value < 1) return "under 1 s left";
  return value < 90 ? `${Math.round(value)} s left` : `${Math.round(value / 60)} min left`;
}

export const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

/** Return whether a key press is meant for a field or for the browser. */
export function isTyping(event) {
  return event.ctrlKey || event.metaKey || event.altKey || Boolean(event.target.closest?.("input, select, textarea, dialog"));
}

/** Return a group of buttons of which one is pressed. options: pairs of value and text. choose: called with a value. */
export function switcher(label, options, current, choose) {
  const buttons = options.map(([value, text, hint]) => h("button", {
    type: "button", title: hint, "aria-pressed": String(value === current), "data-value": value,
    onclick: () => { press(value); choose(value); },
  }, text));
  const press = (value) => buttons.forEach((button) => button.setAttribute("aria-pressed", String(button.dataset.value === value)));
  const group = h("div", { class: "switch", role: "group", "aria-label": label }, buttons);
  return Object.assign(group, { press });
}

/** Measure the time from an event to the next painted frame, for `benchmarks.page` and the browser's own tools. */
export function painted(name, startedAt) {
  if (startedAt === undefined) return;
  requestAnimationFrame(() => setTimeout(() => performance.measure(name, { start: startedAt, end: performance.now() })));
}
