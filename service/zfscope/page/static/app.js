// The page as a whole: views, the model and the photo of the address, keys, and what happens without a server.

import { createAnalyzers } from "./analyzers.js";
import { getJson, reactions } from "./api.js";
import { acceptPhotos } from "./bring.js";
import { faultsOf, findModel, titleOf } from "./check.js";
import { createCompare } from "./compare.js";
import { fill, find, findAll, h, isTyping, painted } from "./dom.js";
import { announce, dismiss, dismissErrors, notify, notifyError, sentence } from "./notices.js";
import { focusView, keepFocus } from "./focus.js";
import { NO_PHOTO, open, restore } from "./photos.js";
import { showHelp, signIn } from "./dialogs.js";
import { address, change, state, subscribe } from "./state.js";
import { classify, currentLayer, emit, loadCrop, loadModel, modelName, subject } from "./subject.js";
import { saveArchive, showCalls } from "./take.js";
import { createUnit } from "./unit.js";
import { createWorkbench } from "./workbench.js";

const views = {};
let controller = new AbortController();
// State of the address that the subject comes from.
let examined = {};

const viewName = () => (Object.hasOwn(views, state().view || "") ? state().view : "photo");
const currentView = () => views[viewName()];

reactions.away = () => notify("away", "The server does not answer. Trying again every second; the page resumes by itself.");
reactions.back = () => { dismiss("away"); announce("The server answers again"); };
reactions.signIn = signIn;
reactions.photoGone = restore;

/** Load the model and the photo of the address, then what depends on both. */
async function load() {
  const now = state();
  const startedAt = subject.since;
  const isOther = (...keys) => keys.some((key) => now[key] !== examined[key]);
  const modelChanged = !subject.model || isOther("model", "version");
  const photoChanged = isOther("photo") || (!now.photo && isOther("sample", "indexed"));
  if (!modelChanged && !photoChanged) return;
  controller.abort();
  controller = new AbortController();
  const { signal } = controller;
  try {
    const missing = modelChanged && (await missingModel(now));
    if (signal.aborted) return;
    if (missing) return void correct([missing]);
    const model = modelChanged ? await loadModel(now.model || defaultModel(), now.model && now.version) : subject.model;
    const photo = photoChanged ? await chosenPhoto(now) : subject.photo;
    if (signal.aborted) return;
    Object.assign(subject, { model, photo });
    examined = { ...now, photo: photo?.hash };
    change({ photo: photo?.hash }, { replace: true });
    drawSelects();
    correct(faults());
    if (photoChanged) emit("photo", subject.photo);
    if (subject.photo) await examine(signal, startedAt);
    emit("subject");
  } catch (error) {
    if (error.name === "AbortError") return;
    examined = {};
    notifyError("load", error);
  }
}

/** Return the fault of an address whose model the service does not have; null if it has it. */
async function missingModel({ model: name, version }) {
  if (!name || findModel(subject.models, name, version)) return null;
  subject.models = (await getJson("v1/models")).models;
  if (findModel(subject.models, name, version)) return null;
  return { keys: ["model", "version"], text: `model '${titleOf(name, version)}' not found; available: ${listOf(subject.models.map(modelName))}` };
}

const MOST_NAMES = 10;
const listOf = (names) => `${names.slice(0, MOST_NAMES).join(", ")}${names.length > MOST_NAMES ? ", ..." : ""}`;

/** Return the photo of an address; null for none, and for one that is gone, with a sentence. */
async function chosenPhoto(now) {
  if (!now.photo && !now.sample && !now.indexed) return null;
  try {
    return await open(now);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    change(NO_PHOTO, { replace: true });
    notifyError("load", error);
    return null;
  }
}

const faults = () => faultsOf(state(), { model: subject.model, models: subject.models, views: Object.keys(views) });

/** Remove from the address what does not exist, with a sentence; return whether there was anything. */
function correct(found) {
  if (!found.length) return false;
  change(Object.fromEntries(found.flatMap(({ keys }) => keys).map((key) => [key, ""])), { replace: true });
  notify("address", found.map(({ text }) => text && sentence({ message: text })).filter(Boolean).join(" "), "note");
  return true;
}

async function examine(signal, startedAt) {
  const { photo, model } = subject;
  const crop = loadCrop(photo, model, { signal }).then((shown) => {
    if (signal.aborted) return;
    if (subject.crop) URL.revokeObjectURL(subject.crop.src);
    emit("crop", subject.crop = shown);
  });
  const { classes, warnings } = await classify(photo, model, { signal });
  Object.assign(subject, { classes, warnings });
  emit("classes");
  painted("classes", startedAt);
  await crop;
}

function defaultModel() {
  const usable = subject.models.filter((model) => !model.damage);
  if (!usable.length) throw Object.assign(new Error("the service has no model; import one with `zfscope models import`"), { reason: "NOT_FOUND" });
  return (usable.find((model) => model.name === subject.session.model) || usable.find((model) => model.is_default) || usable[0]).name;
}

const modelSelect = find("#model");
const layerSelect = find("#layer");

function drawSelects() {
  const { name, version } = subject.model.summary;
  fill(modelSelect, subject.models.map((model) => h("option", {
    value: JSON.stringify([model.name, model.version]), disabled: Boolean(model.damage), title: model.damage || model.summary, selected: model.name === name && model.version === version,
  }, modelName(model))));
  const shown = subject.model.layers.filter((layer) => layer.block || layer === currentLayer());
  fill(layerSelect, shown.map((layer) => h("option", { value: layer.name, selected: layer === currentLayer() }, layer.name)));
}

modelSelect.addEventListener("change", () => {
  const [name, version] = JSON.parse(modelSelect.value);
  change({ model: name, version, layer: "", map: "", y: "", x: "", class: "", view: state().view === "unit" ? "" : state().view });
});
layerSelect.addEventListener("change", () => change({ layer: layerSelect.value, map: "", y: "", x: "", view: state().view === "unit" ? "" : state().view }));

function show() {
  const name = viewName();
  for (const section of findAll("main > section")) section.hidden = section.id !== `${name}-view`;
  for (const link of findAll(".top nav a")) {
    const isCurrent = link.dataset.view === name;
    if (isCurrent) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
    link.href = address({ view: link.dataset.view === "photo" ? "" : link.dataset.view });
  }
  document.title = `${currentView().title()} - ZFScope`;
  keepFocus();
}

subscribe((now, former, replaced) => {
  const isOther = (key) => now[key] !== former[key];
  const isLoaded = subject.model && now.model === examined.model && now.version === examined.version;
  if (isLoaded && correct(faults())) return;
  if (subject.model && isOther("layer") && !isOther("model") && !isOther("version")) {
    drawSelects();
    emit("layer");
  }
  if (isOther("class")) emit("class");
  if (isOther("rule") || isOther("normalisation")) emit("rule");
  load().then(show);
  emit("state");
  if (isOther("view") || isOther("map")) window.scrollTo(0, 0);
  show();
  if (!replaced && (isOther("view") || isOther("photo"))) dismissErrors();
});

for (const kind of ["click", "keydown", "change", "drop", "paste"]) {
  window.addEventListener(kind, (event) => { subject.since = event.timeStamp; }, true);
}

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || isTyping(event) || !subject.model) return;
  const digit = { 1: "", 2: "compare", 3: "analyze" }[event.key];
  if (event.key === "?") showHelp();
  else if (digit !== undefined) change({ view: digit });
  else if (!currentView().key(event)) return;
  event.preventDefault();
});

find("#skip").addEventListener("click", focusView);
find("#save").addEventListener("click", (event) => saveArchive(currentView(), event.currentTarget));
find("#copy").addEventListener("click", () => showCalls(currentView()));
find("#help").addEventListener("click", showHelp);

async function begin() {
  try {
    subject.session = await getJson("v1/session");
    if (subject.session.token_required && !subject.session.authenticated) await signIn();
    subject.models = (await getJson("v1/models")).models;
  } catch (error) {
    return notifyError("load", error);
  }
  Object.assign(views, {
    photo: createWorkbench(find("#photo-view")), unit: createUnit(find("#unit-view")),
    compare: createCompare(find("#compare-view")), analyze: createAnalyzers(find("#analyze-view")),
  });
  acceptPhotos();
  show();
  await load();
  emit("state");
  show();
  return document.body.removeAttribute("aria-busy");
}

begin();
