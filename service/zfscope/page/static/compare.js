// Two models, two versions or two photos side by side: a linked cursor, classes, and the difference of occlusion maps.

import { analyze, newestWins, post } from "./api.js";
import { findModel } from "./check.js";
import { drawDifference, range } from "./colours.js";
import { fill, h, painted, percent } from "./dom.js";
import { announce, notify, notifyError, reporting } from "./notices.js";
import { fetchTensor } from "./npy.js";
import { addressOf, open, upload } from "./photos.js";
import { createProjections } from "./projections.js";
import { Stage } from "./stage.js";
import { change, state } from "./state.js";
import { classify, currentClass, currentLayer, hasMaps, lastWithMaps, loadCrop, loadModel, modelName, on, subject, unavailable } from "./subject.js";
import { mapLegend, progressBar } from "./sweep.js";

const TOP = 3;
const CLASSES = 6;

/** Create the view. */
export function createCompare(root) {
  const panes = [createPane("A"), createPane("B")];
  const table = h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Classes" });
  const progress = progressBar("Progress of the sweeps", () => controller?.abort());
  const start = h("button", { type: "button", onclick: sweep }, "Difference of occlusion maps");
  const difference = h("figure", { class: "difference", hidden: true });
  const invitation = h("p", { class: "empty" }, "Bring a photo to see how two models, two versions or two photos differ: choose one in ", h("a", { href: "#" }, "Photo"), ", or drop or paste it here.");
  const body = h("div", { hidden: true }, h("div", { class: "panes" }, panes.map((pane) => pane.node)),
    h("div", { class: "row bar" }, start, progress.node), h("div", { class: "panes" }, table, difference));
  fill(root, h("h1", { class: "spoken" }, "Compare"), invitation, body);
  let controller = null;
  let key = "";

  const follow = newestWins(async ({ point, from, startedAt }, signal) => {
    await Promise.all(panes.map((pane) => pane.look(pane === from ? point : linked(point, from, pane), signal)));
    painted("compare", startedAt);
  }, reporting("compare"));

  panes.forEach((pane) => {
    // A tap moves no pointer: it is a click alone.
    for (const kind of ["pointermove", "click"]) {
      pane.stage.node.addEventListener(kind, (event) => {
        if (pane.ready) follow({ point: pane.stage.point(event), from: pane, startedAt: event.timeStamp });
      });
    }
    pane.stage.node.addEventListener("keydown", (event) => {
      const arrow = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
      if (!arrow || !pane.ready) return;
      event.preventDefault();
      const { x0, y0, x1, y1 } = pane.stage.crop;
      const from = pane.cursor || { x: (x0 + x1) / 2, y: (y0 + y1) / 2 };
      const point = pane.stage.inside({ x: from.x + arrow[0] * (x1 - x0) / 13, y: from.y + arrow[1] * (y1 - y0) / 13 });
      follow({ point, from: pane, startedAt: event.timeStamp });
    });
  });

  /** Return the same place in the other pane: of the same photo, or of the other crop. */
  function linked(point, from, to) {
    if (from.photo.hash === to.photo.hash) return to.stage.inside(point);
    const [a, b] = [from.stage.crop, to.stage.crop];
    return { x: b.x0 + (point.x - a.x0) / (a.x1 - a.x0) * (b.x1 - b.x0), y: b.y0 + (point.y - a.y0) / (a.y1 - a.y0) * (b.y1 - b.y0) };
  }

  const load = newestWins(async ({ model, photo, other, photo2, sample2 }, signal) => {
    const [model2, photoB] = [await loadModel(other.name, other.version), photo2 ? await secondPhoto(photo2, sample2) : photo];
    signal.throwIfAborted();
    if (!photoB) return;
    await Promise.all([panes[0].show(model, photo, signal), panes[1].show(model2, photoB, signal)]);
    drawTable();
  }, (error) => {
    if (error) key = "";
    reporting("compare")(error);
  });

  function update() {
    body.hidden = !subject.photo;
    invitation.hidden = Boolean(subject.photo);
    if (state().view !== "compare" || !subject.model || !subject.photo) return;
    const { model, photo } = subject;
    const { photo2, sample2 } = state();
    const other = second();
    const wanted = JSON.stringify([model.summary, photo.hash, other.name, other.version, photo2, currentLayer().name]);
    if (key === wanted) return;
    key = wanted;
    difference.hidden = true;
    controller?.abort();
    follow.cancel();
    load.cancel();
    load({ model, photo, other, photo2, sample2 });
  }

  /** Return the second photo of the address; null if it is gone, with a sentence. */
  async function secondPhoto(photo, sample) {
    try {
      return await open({ photo, sample });
    } catch (error) {
      if (error.reason !== "NOT_FOUND" || state().photo2 !== photo) throw error;
      change({ photo2: "", sample2: "" }, { replace: true });
      notifyError("address", error);
      return null;
    }
  }

  /** Return the second model: the chosen one, or the first other one. */
  function second() {
    const { name, version } = subject.model.summary;
    return findModel(subject.models, state().model2, state().version2) || subject.models.find((model) => !model.damage && (model.name !== name || model.version !== version)) || subject.model.summary;
  }

  function drawTable() {
    const [a, b] = panes.map((pane) => new Map(pane.classes.map((score) => [score.label, score])));
    const labels = [...new Set([...panes[0].classes.slice(0, CLASSES), ...panes[1].classes.slice(0, CLASSES)].map((score) => score.label))];
    const value = (scores, label) => (scores.has(label) ? percent(scores.get(label).probability) : "not a class");
    fill(table, h("table", {}, h("caption", {}, "Classes"),
      h("thead", {}, h("tr", {}, ["class", "A", "B", "B − A"].map((text, index) => h("th", { scope: "col", class: index ? "number" : "" }, text)))),
      h("tbody", {}, labels.map((label) => {
        const change_ = a.has(label) && b.has(label) ? 100 * (b.get(label).probability - a.get(label).probability) : null;
        return h("tr", {}, h("td", {}, label), h("td", { class: "number" }, value(a, label)), h("td", { class: "number" }, value(b, label)),
          h("td", { class: "number" }, change_ === null ? "" : `${change_ > 0 ? "+" : ""}${change_.toFixed(1)}`));
      }))));
  }

  async function sweep(event) {
    if (controller || !panes.every((pane) => pane.ready)) return;
    if (!panes.every((pane) => pane.classes.length)) return void notify("difference", "A model without classes has no occlusion map.", "note");
    controller = new AbortController();
    const { signal } = controller;
    start.disabled = true;
    const done = [0, 0];
    progress.show({ fraction: 0 });
    try {
      const maps = [];
      for (const [index, pane] of panes.entries()) {
        maps.push(await pane.sweep(signal, (report) => {
          done[index] = report.fraction;
          progress.show({ fraction: (done[0] + done[1]) / 2 });
        }));
      }
      drawDifferenceMap(maps);
      painted("difference", event.timeStamp);
    } catch (error) {
      notifyError("compare", error);
    }
    controller = null;
    start.disabled = false;
    progress.hide();
  }

  function drawDifferenceMap([a, b]) {
    const size = a.map.shape[0] * a.map.shape[1] <= b.map.shape[0] * b.map.shape[1] ? a.map.shape : b.map.shape;
    const [first, then] = [resampled(a.map, size), resampled(b.map, size)];
    const values = first.map((value, index) => (then[index] - b.clean) - (value - a.clean));
    const limit = Math.max(...range(values).map(Math.abs));
    const canvas = h("canvas", { role: "img", "aria-label": `Difference of the occlusion maps, B minus A, up to ${percent(limit)} either way` });
    drawDifference(canvas, { shape: size, values }, limit);
    const about = a.label === b.label ? a.label : `${a.label} in A, ${b.label} in B`;
    fill(difference, h("div", { class: "over" }, h("img", { src: panes[0].view.src, alt: "" }), canvas),
      h("figcaption", {}, `How much more an occlusion there raises the probability of ${about} in B than in A: blue −${percent(limit)}, white 0, red +${percent(limit)}.`));
    difference.hidden = false;
    announce("Difference map drawn");
  }

  on("state", update);
  on("subject", update);
  return {
    title: () => "Compare",
    key: (event) => (event.key === "Escape" && controller ? (controller.abort(), true) : false),
    calls: () => panes.filter((pane) => pane.ready).flatMap((pane) => pane.calls()),
  };
}

/** Return values (rows, columns) at a smaller size, by the nearest pixel. */
function resampled({ shape: [rows, columns], values }, [height, width]) {
  return Float32Array.from({ length: height * width }, (_, index) => {
    const row = Math.floor((Math.floor(index / width) + 0.5) * rows / height);
    return values[row * columns + Math.floor((index % width + 0.5) * columns / width)];
  });
}

/** Return one of the two panes. */
function createPane(letter) {
  const stage = new Stage(`Photo ${letter}. Arrow keys move the cursor in both photos.`);
  const models = h("select", { "aria-label": `Model ${letter}` });
  const input = h("input", { type: "file", accept: "image/*", hidden: true, "aria-label": `Photo ${letter}` });
  const choose = h("button", { type: "button", onclick: () => input.click() }, "Choose photo");
  const note = h("p", { class: "note" });
  const legend = mapLegend();
  const grid = h("div", { class: "grid three" });
  const node = h("section", { class: "pane", "aria-label": letter }, h("div", { class: "row bar" }, h("b", {}, letter), models, input, choose), stage.node, h("div", { class: "turns" }, legend.node), note, grid);
  const isFirst = letter === "A";
  models.addEventListener("change", () => {
    const [name, version] = JSON.parse(models.value);
    change(isFirst ? { model: name, version } : { model2: name, version2: version });
  });
  input.addEventListener("change", async () => {
    try {
      const photo = await upload(input.files[0], { name: input.files[0].name });
      change(isFirst ? addressOf(photo) : { photo2: photo.hash, sample2: "" });
    } catch (error) {
      notifyError("compare", error);
    }
    input.value = "";
  });
  const pane = { node, stage, ready: false, cursor: null, classes: [], photo: null, model: null };

  const request = (members) => ({ photo: pane.photo.hash, model: pane.model.summary.name, version: pane.model.summary.version, ...members });
  const row = createProjections(grid, { key: `tiles ${letter}`, request, onPictures: () => row.draw(), model: () => pane.model });

  pane.show = async (model, photo, signal) => {
    pane.ready = false;
    Object.assign(pane, { model, photo, cursor: null });
    const { name, version } = model.summary;
    fill(models, subject.models.filter((each) => !each.damage).map((each) => h("option", { value: JSON.stringify([each.name, each.version]), selected: each.name === name && each.version === version }, modelName(each))));
    stage.show(photo);
    legend.node.hidden = true;
    fill(grid);
    row.forget();
    const [crop, { classes }] = await Promise.all([loadCrop(photo, model, { signal }), classify(photo, model, { signal })]);
    stage.showCrop(crop);
    if (pane.view) URL.revokeObjectURL(pane.view.src);
    pane.view = crop;
    pane.classes = classes;
    pane.ready = true;
    if (classes.length) legend.write(pane.target().label, 0.5, 0.5);
    note.textContent = `${pane.layer().name}: point at a place.`;
  };
  pane.layer = () => {
    const same = pane.model.layers.find((layer) => layer.name === currentLayer().name && hasMaps(layer));
    return same || lastWithMaps(pane.model.layers.filter(hasMaps)) || pane.model.layers[0];
  };
  pane.look = async (point, signal) => {
    pane.cursor = point;
    stage.showCursor(point);
    const layer = pane.layer();
    const { units } = await post("v1/activations", request({ layer: layer.name, top: TOP, pictures: false, y: point.y, x: point.x }), { signal });
    stage.showFields(pane.model.graph ? [] : [units[0].receptive_field]);
    const reason = unavailable("project", pane.model);
    note.textContent = `${layer.name} at ${Math.round(point.x)}, ${Math.round(point.y)}${reason ? `. No projections: ${reason}` : ""}`;
    row.show(layer, units);
    row.draw();
  };
  pane.target = () => {
    const about = currentClass();
    return pane.classes.find((score) => score.label === about?.label) || pane.classes[0];
  };
  pane.sweep = async (signal, report) => {
    const score = pane.target();
    const result = await analyze("v1/occlude", { ...request({ classes: [score.id] }), pictures: false, tensors: true }, { signal, report });
    const { value_map: link, clean } = result.classes[0];
    const map = await fetchTensor(link, { signal });
    const [low, high] = range(map.values);
    stage.showHeat(map, [low, high], { opacity: 0.75, words: `Occlusion map of ${score.label}: from ${percent(low)} to ${percent(high)}` });
    legend.write(score.label, low, high);
    legend.node.hidden = false;
    return { map, clean, label: score.label };
  };
  pane.calls = () => {
    const where = pane.cursor ? { y: pane.cursor.y, x: pane.cursor.x } : {};
    return [["classify", request({ top: CLASSES })], ["activations", request({ layer: pane.layer().name, top: TOP, ...where })]];
  };
  return pane;
}
