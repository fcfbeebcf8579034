// The strongest photos of a map in an index, as tiles that open them.

import { bring } from "./bring.js";
import { drawPixels } from "./colours.js";
import { h, strength } from "./dom.js";
import { indexedName, openIndexed } from "./photos.js";
import { subject } from "./subject.js";
import { moveFocus } from "./tiles.js";

// States of records without a patch, in words.
const STATES = { gone: "file is gone", changed: "file has changed", silent: "not active" };

/** Return the name of a class in the data of an index, by which models may know it as an identifier. */
export const className = (label) => subject.model.labels.find((known) => known.id === label)?.name || label || "no class";

/** Return the tiles of a map's photos. answer: of top-k for one map. patches: its tensor; null if there are none. */
export function recordTiles(answer, patches) {
  const { records } = answer.maps[0];
  const tiles = records.filter((record) => record.blake2b).map((record) => recordTile(answer, record, patches));
  if (!tiles.length) return null;
  const walk = (event) => {
    if (!event.key.startsWith("Arrow")) return;
    moveFocus(event, tiles);
    if (event.key === "ArrowLeft" || event.key === "ArrowRight") event.preventDefault(); // the map does not change at the ends
  };
  return h("section", { "aria-labelledby": "records-heading" }, h("h3", { id: "records-heading" }, "Open one of these photos"),
    h("div", { class: "grid openers", onkeydown: walk }, tiles));
}

function recordTile(answer, record, patches) {
  const about = `${record.path}, ${className(record.label)}`;
  const hasPatch = patches && record.patch;
  const open = () => bring(() => openIndexed(indexedName(answer, record)));
  return h("button", { type: "button", class: "tile", title: about, onclick: open },
    h("span", { class: "spoken" }, `Open photo ${about}: `),
    h("span", { class: "picture" }, hasPatch ? patchOf(patches, record.rank) : h("span", { class: "nothing" }, STATES[record.state] || record.state)),
    h("span", { class: "name" }, h("span", {}, h("span", { class: "rank" }, record.rank + 1), className(record.label)), h("i", {}, strength(record.value))));
}

/** Return a photo's patch of a tensor (1, photos, rows, columns, 3). */
function patchOf({ shape, values }, photo) {
  const [, , rows, columns, channels] = shape;
  const canvas = h("canvas", { class: "square", "aria-hidden": "true" });
  drawPixels(canvas, rows, columns, values, photo * rows * columns * channels);
  return canvas;
}
