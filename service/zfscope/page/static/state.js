// The view as an address, such as `#model=zfnet&layer=conv5&map=42&rule=guided&photo=...`: what the page shows, and no more.

const KEYS = [
  "view", "model", "version", "layer", "map", "y", "x", "rule", "normalisation", "class", "photo", "sample", "indexed", "analyzer",
  "model2", "version2", "photo2", "sample2",
];
const listeners = [];
let current = read();

function read() {
  const given = new URLSearchParams(location.hash.slice(1));
  return Object.fromEntries(KEYS.filter((key) => given.get(key)).map((key) => [key, given.get(key)]));
}

/** The state of the view: strings by key; a key without a value is absent. */
export const state = () => current;

/** Return the address of a view: the current one with changes. Empty values remove a key. */
export function address(changes, base = current) {
  const merged = { ...base, ...changes };
  const pairs = KEYS.filter((key) => merged[key] !== undefined && merged[key] !== null && merged[key] !== "")
    .map((key) => [key, String(merged[key])]);
  return `#${new URLSearchParams(pairs)}`;
}

/** Change the view. replace: whether Back skips the present one. */
export function change(changes, { replace = false } = {}) {
  const next = address(changes);
  if (next === address({})) return;
  if (replace) history.replaceState(null, "", next);
  else history.pushState(null, "", next);
  update(replace);
}

/** Call a function with the new and the former state, and whether the new one replaces it in the history. */
export function subscribe(listener) {
  listeners.push(listener);
}

function update(replace) {
  const former = current;
  current = read();
  if (address({}, former) !== address({}, current)) listeners.forEach((listener) => listener(current, former, replace));
}

window.addEventListener("popstate", () => update(false));
