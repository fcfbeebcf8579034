// What an address names that does not exist, such as a map that the layer does not have.

import { currentLayer } from "./subject.js";
import { NORMALISATIONS, RULES } from "./unit.js";

/** Return faults of an address: `{keys, text}`, the keys to remove and a sentence. views: names of all views. */
export function faultsOf(given, { model, models, views }) {
  const layer = currentLayer(model);
  const map = wholeNumber(given.map);
  const unitIsMissing = Boolean(given.map) && !(map < layer.shape[0]);
  const faults = [
    given.view && !views.includes(given.view) && ["view", `view '${given.view}' not found; available: ${views.join(", ")}`],
    given.layer && given.layer !== layer.name && ["layer map y x", `layer '${given.layer}' not found in ${model.summary.name}; ${layer.name} is shown`],
    unitIsMissing && ["map y x", `map '${given.map}' not found in ${layer.name}; allowed: 0 to ${layer.shape[0] - 1}`],
    given.view === "unit" && (!given.map || unitIsMissing) && ["view y x", given.map ? "" : "the address names no map"],
    (given.y || given.x) && !hasUnit(layer, given) && ["y x", `place '${given.y ?? ""}, ${given.x ?? ""}' not found in ${layer.name}; it is left out`],
    unknownOption("rule", given, RULES),
    unknownOption("normalisation", given, NORMALISATIONS),
    given.class && !model.labels.some((label) => label.id === given.class) && ["class", `class '${given.class}' is not a class of ${model.summary.name}; the most likely one is chosen`],
    given.model2 && !findModel(models, given.model2, given.version2) && ["model2 version2", `model '${titleOf(given.model2, given.version2)}' not found`],
  ];
  return faults.filter(Boolean).map(([keys, text]) => ({ keys: keys.split(" "), text }));
}

/** Return the listed model of a name, the newest version without one; undefined if there is none. */
export function findModel(models, name, version) {
  return models.find((model) => model.name === name && (!version || String(model.version) === version));
}

export const titleOf = (name, version) => (version ? `${name}, version ${version}` : name);

function unknownOption(key, given, options) {
  const allowed = options.map(([value]) => value);
  return given[key] && !allowed.includes(given[key]) && [key, `${key} '${given[key]}' not found; allowed: ${allowed.join(", ")}`];
}

const wholeNumber = (text) => (/^\d+$/.test(text || "") ? Number(text) : NaN);

function hasUnit(layer, { y, x }) {
  return layer.shape.length === 3 && wholeNumber(y) < layer.shape[1] && wholeNumber(x) < layer.shape[2];
}
