// The view of the photo: the stage with its tools, classes, units, and the strip of layers.

import { dropZone, photoButtons } from "./bring.js";
import { createBrush } from "./brush.js";
import { createClasses } from "./classes.js";
import { fill, h, switcher } from "./dom.js";
import { dismiss, notify } from "./notices.js";
import { createLook } from "./look.js";
import { Stage } from "./stage.js";
import { createStrip } from "./strip.js";
import { currentLayer, isReady, on, subject } from "./subject.js";
import { createSweep } from "./sweep.js";

const TOOLS = [
  ["look", "Look", "The strongest units where you point (V)"],
  ["box", "Box", "Occlude a box that you drag (B)"],
  ["shape", "Shape", "Occlude a shape that you draw (F)"],
];
const LABEL = "Photo. Arrow keys move the cursor or the box, Shift and arrow keys resize the box, Enter pins, Escape clears.";
const NO_CLASSES = "This model has no classes, so there are no probabilities to compare. The analyzer occlude measures what a box does to a feature map.";

/** Create the view. */
export function createWorkbench(root) {
  const stage = new Stage(LABEL);
  const classes = createClasses();
  const look = createLook(stage);
  const brush = createBrush(stage, classes);
  const readout = h("p", { class: "readout" });
  const sweep = createSweep(stage, readout);
  const strip = createStrip();
  const tools = switcher("Tool", TOOLS, "look", use);
  const fills = h("label", { class: "note", hidden: true }, "filled ", brush.fillings);
  const bar = h("div", { class: "row bar" }, tools, fills, h("span", { class: "row" }, sweep.controls), h("span", { class: "spacer" }), photoButtons());
  const bench = h("div", { class: "bench", hidden: true },
    h("div", { class: "sight" }, h("h1", { class: "spoken" }, "Photo"), bar, stage.node, sweep.below),
    h("div", { class: "findings" }, classes.node, look.node), strip.node);
  const drop = dropZone();
  let tool = "look";
  let cursor = null;
  fill(root, drop, bench);

  function use(name) {
    if (tool !== name && brush.active) brush.clear();
    tool = name;
    tools.press(name);
    fills.hidden = name === "look";
    stage.node.dataset.tool = name;
    cursor = null;
    look.draw(name === "look");
    dismiss("brush");
    if (name === "look") return;
    brush.use(name);
    if (isReady() && !subject.classes.length) notify("brush", NO_CLASSES, "note");
  }

  const isOutside = (event) => event.target !== stage.overlay && !stage.overlay.contains(event.target);
  const canPoint = () => isReady() && stage.crop;
  stage.node.dataset.tool = tool;
  stage.node.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || !canPoint() || isOutside(event)) return;
    if (tool === "look") return;
    stage.node.setPointerCapture(event.pointerId);
    brush.press(stage.point(event));
  });
  stage.node.addEventListener("pointermove", (event) => {
    if (!canPoint()) return;
    if (tool !== "look") brush.drag(stage.point(event), event.timeStamp);
    else if (event.pointerType === "mouse") look.hover(cursor = stage.point(event), event.timeStamp);
  });
  stage.node.addEventListener("pointerup", (event) => { if (tool !== "look") brush.release(event.timeStamp); });
  stage.node.addEventListener("pointercancel", () => brush.clear());
  stage.node.addEventListener("pointerleave", () => { if (tool === "look" && canPoint()) look.leave(); });
  stage.node.addEventListener("click", (event) => {
    if (tool === "look" && canPoint() && event.detail) look.pin(cursor = stage.point(event), event.timeStamp);
  });

  /** Return the distance of two units of the layer in photo pixels. */
  function step() {
    const { x0, x1 } = stage.crop;
    const stride = currentLayer().stride_px || 16;
    return Math.max(stride, 4) * (x1 - x0) / subject.model.preprocessing.crop_px;
  }

  const nudge = () => (stage.crop.x1 - stage.crop.x0) / 28;

  function moveCursor([dx, dy], startedAt) {
    const { x0, y0, x1, y1 } = stage.crop;
    const from = cursor || { x: (x0 + x1) / 2, y: (y0 + y1) / 2 };
    cursor = stage.inside({ x: from.x + dx * step(), y: from.y + dy * step() });
    if (look.pinned) look.pin(null);
    look.at(cursor, startedAt);
  }

  const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  stage.node.addEventListener("keydown", (event) => {
    if (!canPoint() || event.ctrlKey || event.metaKey || event.altKey) return;
    const arrow = ARROWS[event.key];
    if (arrow && tool === "look") moveCursor(arrow, event.timeStamp);
    else if (arrow) brush.nudge(arrow[0] * nudge(), arrow[1] * nudge(), event.shiftKey, event.timeStamp);
    else if (event.key === "Enter" && tool === "look" && cursor) look.pin(look.pinned ? null : cursor, event.timeStamp);
    else return;
    event.preventDefault();
  });

  function show() {
    const { photo } = subject;
    bench.hidden = !photo;
    drop.hidden = Boolean(photo);
  }

  on("photo", (photo) => {
    cursor = null;
    brush.clear();
    stage.show(photo);
    readout.textContent = photo ? `${photo.name}, ${photo.width} × ${photo.height} px` : "";
    show();
  });
  on("crop", (crop) => {
    stage.showCrop(crop);
    const { x0, y0, x1, y1 } = crop.box;
    const side = subject.model.preprocessing.crop_px;
    readout.textContent = `${subject.photo.name}, ${subject.photo.width} × ${subject.photo.height} px; the network sees the ${Math.round(x1 - x0)} × ${Math.round(y1 - y0)} px inside the frame as ${side} × ${side}`;
  });
  on("class", () => { if (brush.active) brush.again(); });
  show();

  return {
    title: () => (subject.photo ? subject.photo.name : "Photo"),
    /** Handle a key of the page; return whether it was one of this view. */
    key(event) {
      const chosen = { v: "look", b: "box", f: "shape" }[event.key];
      if (!subject.photo) return false;
      if (chosen) use(chosen);
      else if (event.key === "s") sweep.run(event.timeStamp);
      else if (event.key === "[" || event.key === "]") strip.step(event.key === "[" ? -1 : 1);
      else if (event.key === "Escape") escape();
      else return false;
      return true;
    },
    calls: () => (isReady() ? [["classify", { ...classifyRequest() }], ...look.calls(), ...brush.calls(), ...sweep.calls()] : []),
  };

  function escape() {
    if (sweep.running) sweep.cancel();
    else if (brush.active) brush.clear();
    else if (look.pinned) {
      look.pin(null);
      stage.showCursor(null);
    } else look.at(cursor = null);
  }
}

function classifyRequest() {
  const { name, version } = subject.model.summary;
  return { photo: subject.photo.hash, model: name, version, top: Math.min(10, subject.model.labels.length) };
}
