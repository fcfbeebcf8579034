// The layers from the first convolution to the classes, each with its strongest maps as tiles.

import { post, untilIdle } from "./api.js";
import { fill, h, strength } from "./dom.js";
import { notifyError } from "./notices.js";
import { change } from "./state.js";
import { currentLayer, isReady, on, request, subject, unitName } from "./subject.js";
import { unitAddress } from "./tiles.js";

const TOP = 4;

/** Create the strip. */
export function createStrip() {
  const list = h("ol", { class: "layers" });
  const all = h("input", { type: "checkbox" });
  const node = h("section", { class: "strip", "aria-labelledby": "strip-heading" },
    h("div", { class: "row" }, h("h2", { id: "strip-heading" }, "Layers"), h("label", { class: "note" }, all, " all layers")), list);
  let controller = new AbortController();
  let columns = [];

  const shown = () => subject.model.layers.filter((layer) => all.checked || layer.block || layer === currentLayer());

  /** Draw the columns, then fetch their maps one layer after the other, when nothing else is in flight. */
  async function load() {
    controller.abort();
    controller = new AbortController();
    const { signal } = controller;
    if (!subject.model) return;
    columns = shown().map(column);
    fill(list, columns.map(({ node: item }) => item));
    mark();
    if (!isReady()) return;
    try {
      for (const each of columns) {
        await untilIdle();
        if (signal.aborted) return;
        const top = Math.min(TOP, each.layer.shape[0]);
        const answer = await post("v1/activations", request({ layer: each.layer.name, top, sheet: false }), { signal });
        if (!signal.aborted) fill(each.tiles, answer.units.map((unit) => mapTile(each.layer, unit)));
      }
    } catch (error) {
      notifyError("strip", error);
    }
  }

  function mark() {
    const current = currentLayer();
    for (const { button, layer } of columns) button.setAttribute("aria-pressed", String(layer === current));
    reveal(columns.find(({ layer }) => layer === current)?.node);
  }

  function reveal(item) {
    if (!item) return;
    const overhang = Math.max(0, item.offsetLeft + item.offsetWidth - list.clientWidth - list.scrollLeft);
    list.scrollLeft += overhang || Math.min(0, item.offsetLeft - list.scrollLeft);
  }

  list.addEventListener("keydown", (event) => {
    const offset = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const index = columns.findIndex(({ node: item }) => item.contains(document.activeElement));
    if (index < 0 || event.ctrlKey || event.metaKey || event.altKey) return;
    const stops = (column) => [column.button, ...column.tiles.children];
    const row = stops(columns[index]).indexOf(document.activeElement);
    if (offset) {
      const next = columns[index + offset];
      if (next) (stops(next)[row] || next.button).focus();
    } else if (event.key === "ArrowDown" || event.key === "ArrowUp") stops(columns[index])[row + (event.key === "ArrowDown" ? 1 : -1)]?.focus();
    else return;
    event.preventDefault();
  });
  all.addEventListener("change", load);
  on("subject", load);
  on("layer", () => (columns.some(({ layer }) => layer === currentLayer()) ? mark() : load()));

  return {
    node,
    /** Choose the layer before or after the current one. */
    step(offset) {
      const layers = shown();
      const next = layers[layers.indexOf(currentLayer()) + offset];
      if (next) change({ layer: next.name, map: "", y: "", x: "" }, { replace: true });
    },
  };
}

function column(layer) {
  const tiles = h("div", { class: "maps" });
  const size = layer.shape.length === 3 ? layer.shape.join(" × ") : `${layer.shape[0]} units`;
  const field = layer.receptive_field_px ? `, receptive field ${layer.receptive_field_px} px` : "";
  const button = h("button", { type: "button", title: `${layer.kind}${field}`, onclick: () => change({ layer: layer.name, map: "", y: "", x: "" }) },
    h("b", {}, layer.name), h("small", {}, size));
  return { layer, tiles, button, node: h("li", {}, button, tiles) };
}

function mapTile(layer, unit) {
  const name = unitName(layer, unit.map, unit.label);
  const picture = unit.picture
    ? h("img", { src: unit.picture.url, alt: `Activations of ${layer.name} ${name}` })
    : h("span", { class: "nothing" }, strength(unit.activation));
  return h("a", { class: "tile", href: unitAddress(layer, unit), title: `${name}: ${strength(unit.activation)}` },
    h("span", { class: "picture" }, picture), h("span", { class: "name" }, name.replace(/^(map|unit) \d+, /, "").replace(/^(map|unit) /, "")));
}

