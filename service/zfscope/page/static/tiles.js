// Tiles of units, in the style of the gallery: a picture that leads to the unit's page.

import { h, strength, svg } from "./dom.js";
import { drawPixels } from "./colours.js";
import { address } from "./state.js";
import { unitName } from "./subject.js";

export const { moveFocus } = globalThis.zfscope;

/** Return one square of a picture of several side by side, such as a unit's projection, patch and control. */
export function square(picture, index, count, alt) {
  const image = h("img", { class: "square", src: picture.url, alt, draggable: "false" });
  image.style.objectPosition = `${count > 1 ? 100 * index / (count - 1) : 50}% 50%`;
  return image;
}

/** Return the address of a unit's page. */
export function unitAddress(layer, unit) {
  return address({ view: "unit", layer: layer.name, map: unit.map, y: unit.y, x: unit.x });
}

/** Return a tile of a unit, first without its picture; `show(content)` adds it. */
export function unitTile(layer, unit, { rank } = {}) {
  const picture = h("span", { class: "picture" }, h("span", { class: "nothing" }));
  const name = unitName(layer, unit.map, unit.label);
  const place = unit.y === null || unit.y === undefined ? "" : ` at ${unit.y}, ${unit.x}`;
  const tile = h("a", {
    class: unit.activation > 0 ? "tile" : "tile inactive", href: unitAddress(layer, unit), "data-map": unit.map,
    title: `${layer.name} ${name}${place}: activation ${strength(unit.activation)}${unit.activation > 0 ? "" : ", not active"}`,
  }, picture, h("span", { class: "name" }, h("span", {}, rank ? h("span", { class: "rank" }, rank) : null, name.replace(/^(map|unit) /, "")), h("i", {}, strength(unit.activation))));
  return Object.assign(tile, { show: (content) => picture.replaceChildren(content) });
}

/** Return patches (photos, size, size, 3) as a square mosaic. */
export function mosaic({ shape, values }, map, alt) {
  const [, photos, rows, columns, channels] = shape;
  const across = Math.ceil(Math.sqrt(photos));
  const canvas = h("canvas", { role: "img", "aria-label": alt, class: "square", width: across * columns, height: across * rows });
  const context = canvas.getContext("2d");
  const patch = document.createElement("canvas");
  for (let photo = 0; photo < photos; photo += 1) {
    drawPixels(patch, rows, columns, values, (map * photos + photo) * rows * columns * channels);
    context.drawImage(patch, (photo % across) * columns, Math.floor(photo / across) * rows);
  }
  return canvas;
}

/** Return a histogram of counts as a drawing. edges: one more than counts. */
export function histogram(counts, edges, alt) {
  const highest = Math.max(...counts, 1);
  const width = 100 / counts.length;
  const bars = counts.map((count, index) => svg("rect", {
    x: index * width + 0.25 * width / 2, width: width * 0.75, y: 40 - 40 * count / highest, height: 40 * count / highest,
  }, svg("title", {}, `${strength(edges[index])} to ${strength(edges[index + 1])}: ${count.toLocaleString("en")} photos`)));
  return svg("svg", { class: "histogram", viewBox: "0 0 100 40", preserveAspectRatio: "none", role: "img", "aria-label": alt }, bars);
}
