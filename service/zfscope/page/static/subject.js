// What the page examines: a model, a photo, what the network sees of it, and its classes.

import { call, getJson, post } from "./api.js";
import { sentence } from "./notices.js";
import { state } from "./state.js";

/**
 * session, models: of the service. model: description of the model. crop: `{src, box}`. classes: all, most likely first; warnings: about the photo and the model.
 * since: time stamp of the newest click, key or file, from which results are timed.
 */
export const subject = { session: null, models: [], model: null, photo: null, crop: null, classes: [], warnings: [], since: undefined };

const handlers = new Map();

/** Call a function whenever a part of the subject changes: model, photo, crop, classes or layer. */
export function on(name, handler) {
  handlers.set(name, [...(handlers.get(name) || []), handler]);
}

/** Call the functions that wait for a part of the subject. */
export function emit(name, value) {
  for (const handler of handlers.get(name) || []) handler(value);
}

/** Return the members of a request about the model and the photo. */
export function request(members = {}) {
  const { name, version } = subject.model.summary;
  return { photo: subject.photo.hash, model: name, version, ...members };
}

export const isReady = () => Boolean(subject.model && subject.photo);

export const modelName = (summary) => `${summary.name}${summary.version > 1 ? `, version ${summary.version}` : ""}`;

/** Return why an analyzer cannot run with a model, as a sentence; empty if it can. */
export const unavailable = (analyzer, model = subject.model) => model?.unavailable[analyzer] || "";

/** Return the chosen layer, or the last convolution, or block of an opaque network; null before there is a model. */
export function currentLayer(model = subject.model) {
  const layers = model?.layers || [];
  return layers.find((layer) => layer.name === state().layer)
    || lastWithMaps(layers) || layers.at(-1) || null;
}

/** Return the last convolution, or the last block of an opaque network, with maps. */
export function lastWithMaps(layers) {
  return layers.findLast((layer) => layer.kind === "conv" && layer.shape.length === 3) || layers.findLast((layer) => layer.block && hasMaps(layer));
}

export const hasMaps = (layer) => layer.shape.length === 3 && layer.shape[1] * layer.shape[2] > 1;

/** Return the name of a unit: its map, or the class that it stands for. */
export function unitName(layer, map, label = "") {
  const name = `${layer.shape.length === 3 ? "map" : "unit"} ${map}`;
  const meaning = label || (layer === subject.model?.layers.at(-1) ? subject.model.labels[map]?.name : "");
  return meaning ? `${name}, ${meaning}` : name;
}

/** Return the class that everything is about: the chosen one, or the most likely one. */
export function currentClass() {
  const chosen = state().class;
  return subject.classes.find((score) => score.id === chosen) || subject.classes[0] || null;
}

const loaded = new Map();

/** Return the description of a model; the newest version without one. */
export async function loadModel(name, version) {
  const key = `${name}:${version || ""}`;
  if (!loaded.has(key)) {
    const model = await getJson(`v1/models/${encodeURIComponent(name)}${version ? `?version=${encodeURIComponent(version)}` : ""}`);
    loaded.set(key, { ...model, unavailable: model.graph ? await reasonsOf(model) : {} });
  }
  return loaded.get(key);
}

/** Return why analyzers cannot run with a model, by their names. */
async function reasonsOf({ summary: { name, version } }) {
  const { analyzers } = await getJson(`v1/analyzers?${new URLSearchParams({ model: name, version })}`);
  return Object.fromEntries(analyzers.filter((each) => each.unavailable).map((each) => [each.name, sentence({ message: each.unavailable })]));
}

/** Return the crop of a photo that a model sees: a picture and its box in photo pixels. */
export async function loadCrop(photo, model, options) {
  const { name, version } = model.summary;
  const query = new URLSearchParams({ photo: photo.hash, model: name, version });
  const response = await call(`v1/view?${query}`, options);
  const [x0, y0, x1, y1] = response.headers.get("X-Box").split(",").map(Number);
  return { src: URL.createObjectURL(await response.blob()), box: { x0, y0, x1, y1 } };
}

/** Return `{classes, warnings}` of a photo, the most likely class first; no classes for a model without. */
export async function classify(photo, model, options) {
  const { name, version } = model.summary;
  if (!model.labels.length) return { classes: [], warnings: [] };
  const top = Math.min(Math.max(model.labels.length, 1), 1000);
  return post("v1/classify", { photo: photo.hash, model: name, version, top }, options);
}
