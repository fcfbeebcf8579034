// What the network sees at a place: the strongest units of the layer there, with receptive field and tiles.

import { analyze, newestWins, post } from "./api.js";
import { fill, h, painted, switcher } from "./dom.js";
import { fetchTensor } from "./npy.js";
import { announce, reporting, sentence } from "./notices.js";
import { boundedMap, createProjections, reference, rules } from "./projections.js";
import { currentLayer, hasMaps, isReady, on, request, subject, unavailable } from "./subject.js";
import { mosaic, moveFocus } from "./tiles.js";

const TOP = 9;
const KINDS = [
  ["projection", "Projection", "The pixels that each unit responds to"],
  ["patch", "Patch", "The part of the photo that each unit sees"],
  ["top", "Top 9", "The strongest photos of each map in the model's index"],
];

/** Create the panel of a stage. */
export function createLook(stage) {
  const heading = h("h2", { id: "units-heading" }, "Strongest units");
  const note = h("p", { class: "note" });
  const grid = h("div", { class: "grid nine", onkeydown: (event) => { if (event.key.startsWith("Arrow")) moveFocus(event, [...grid.children]); } });
  const kinds = switcher("Picture of each unit", KINDS, "projection", (chosen) => {
    kind = chosen;
    row.tiles.forEach((tile) => tile.show(h("span", { class: "nothing" })));
    fill(note, about);
    drawTiles();
  });
  const node = h("section", { class: "panel", "aria-labelledby": "units-heading" }, h("div", { class: "row" }, heading, kinds), note, grid);
  const row = createProjections(grid, { key: "tiles", request, onPictures: drawTiles, model: () => subject.model });
  const patches = boundedMap();
  let kind = "projection";
  let pinned = null;
  let drawing = true;
  let about = "";

  const ask = newestWins(async ({ place, startedAt }, signal) => {
    const layer = currentLayer();
    const where = place ? { y: place.y, x: place.x } : {};
    const answer = await post("v1/activations", request({ layer: layer.name, top: Math.min(TOP, layer.shape[0]), pictures: false, ...where }), { signal });
    show(layer, answer.units, place, startedAt);
  }, reporting("look"));

  const askTop = newestWins(async ({ layer, maps }, signal) => {
    const { name, version } = subject.model.summary;
    for (const map of maps) {
      const answer = await analyze("v1/top-k", { model: name, version, layer: layer.name, maps: [map], pictures: false, tensors: true }, { signal });
      patches.set(topKey(layer, map, { name, version }), await fetchTensor(answer.patches, { signal }));
      drawTiles();
    }
  }, (error) => { if (error) fill(note, sentence(error)); });

  const topKey = (layer, map, { name, version } = subject.model.summary) => `${name}:${version}:${layer.name}:${map}`;

  function show(layer, found, place, startedAt) {
    heading.textContent = place ? `${layer.name} at ${Math.round(place.x)}, ${Math.round(place.y)}` : `Strongest of ${layer.name}`;
    if (drawing) {
      stage.showFields(fieldsOf(place ? found.slice(0, 1) : found));
      stage.showCursor(place, Boolean(pinned));
    }
    fill(note, about = describe(layer, found, place));
    if (row.show(layer, found, { ranked: !place })) {
      row.tiles.forEach((tile, index) => {
        const emphasize = () => stage.showFields(fieldsOf([found[index]]));
        tile.addEventListener("mouseenter", emphasize);
        tile.addEventListener("focus", emphasize);
      });
    }
    painted(place ? "hover" : "units", startedAt);
    drawTiles(startedAt);
  }

  /** Draw the pictures that are known, and ask for the others. */
  function drawTiles(startedAt) {
    if (!isReady() || !row.units.length) return;
    if (kind === "top") drawTop(currentLayer());
    else if (row.draw({ patch: kind === "patch", startedAt })) painted("hover tiles", startedAt);
  }

  function drawTop(layer) {
    const missing = [];
    row.units.forEach((unit, index) => {
      const known = patches.get(topKey(layer, unit.map));
      if (!known) missing.push(unit.map);
      else row.tiles[index].show(mosaic(known, 0, `Patches of the strongest photos of ${row.tiles[index].title}`));
    });
    if (missing.length) askTop({ layer, maps: missing });
  }

  // What units of an opaque network see is not known.
  const fieldsOf = (units) => (subject.model.graph ? [] : units.map((unit) => unit.receptive_field));

  function describe(layer, found, place) {
    const reason = unavailable("project");
    return `${facts(layer, found, place)}${reason ? ` No projections: ${reason}` : ""}`;
  }

  function facts(layer, found, place) {
    const { x0, y0, x1, y1 } = found[0].receptive_field;
    const size = `${Math.round(x1 - x0)} × ${Math.round(y1 - y0)}`;
    if (!hasMaps(layer)) return `Units of ${layer.name} see the whole crop; there is no place to point at.`;
    const inactive = found.some((unit) => unit.activation <= 0) ? " Pale: not above zero, and so not active." : "";
    if (place) return `Receptive field ${subject.model.graph ? "unknown" : `${size} photo pixels`}.${inactive} ${pinned ? "Pinned: press Escape or click elsewhere." : "Click to pin."}`;
    return `The strongest unit of each map, anywhere in the photo. Point at a place to see the units there.`;
  }

  /** Look at a place of the photo; null: anywhere. */
  function at(place, startedAt) {
    if (!isReady()) return;
    if (place && !hasMaps(currentLayer())) return;
    ask({ place, startedAt });
  }

  /** Disable the pictures that need projections on a model without them; the note says why. */
  function limitKinds() {
    const reason = unavailable("project");
    for (const button of kinds.querySelectorAll("[data-value=projection], [data-value=patch]")) button.disabled = Boolean(reason);
    kinds.press(reason && kind !== "top" ? "" : kind);
  }

  const again = () => { limitKinds(); askTop.cancel(); pinned = null; row.forget(); stage.showCursor(null); at(null); };
  on("photo", () => { ask.cancel(); row.forget(); fill(grid); fill(note); stage.showFields([]); });
  on("subject", again);
  on("layer", again);
  on("rule", () => { row.forget(); at(pinned); });

  return {
    node,
    at,
    hover(place, startedAt) { if (!pinned) at(place, startedAt); },
    leave() { if (!pinned) at(null); },
    pin(place, startedAt) {
      pinned = place;
      at(place, startedAt);
      if (place) announce(`Pinned at ${Math.round(place.x)}, ${Math.round(place.y)}`);
    },
    /** Choose whether receptive fields and the cursor are drawn. */
    draw(wanted) {
      drawing = wanted;
      stage.showFields([]);
      stage.showCursor(null);
      if (wanted) at(pinned);
    },
    get pinned() { return pinned; },
    calls() {
      const layer = currentLayer();
      const where = pinned ? { y: pinned.y, x: pinned.x } : {};
      const projected = row.units.length && !unavailable("project") ? [["project", request({ layer: layer.name, units: row.units.map(reference), ...rules() })]] : [];
      return [["activations", request({ layer: layer.name, top: Math.min(TOP, layer.shape[0]), ...where })], ...projected];
    },
  };
}
