// A brush: the box or shape that it marks is occluded at once, and follows the mouse.

import { analyze, newestWins } from "./api.js";
import { clamp, h, painted, svg } from "./dom.js";
import { reporting } from "./notices.js";
import { request, subject } from "./subject.js";

// Side of the smallest box, in pixels of the network's input.
const LEAST = 2;
const CORNERS = [["x0", "y0"], ["x1", "y0"], ["x1", "y1"], ["x0", "y1"]];
export const FILLS = [["grey", "grey"], ["mean", "mean colour"], ["blur", "blurred"]];

/** Create the brush of a stage. classes: the list that shows probabilities before and after. */
export function createBrush(stage, classes) {
  const fillings = h("select", { "aria-label": "Fill of the occluded part" }, FILLS.map(([value, text]) => h("option", { value }, text)));
  fillings.addEventListener("change", () => occlude());
  let tool = "box";
  let box = null;
  let shape = [];
  let grabbed = null;

  const ask = newestWins(async ({ members, startedAt }, signal) => {
    const answer = await analyze("v1/occlude", members, { signal });
    if (box || shape.length) {
      classes.compare(new Map(answer.classes.map((score) => [score.label_id, score.lowest])));
      painted("brush", startedAt);
    }
  }, reporting("brush"));

  function members() {
    const part = tool === "box" ? { boxes: [box] } : { polygons: [shape.map(({ x, y }) => [x, y])] };
    return request({ ...part, fill: fillings.value, classes: classes.shown().slice(0, 16).map((score) => score.id), pictures: false });
  }

  function occlude(startedAt) {
    if (box) box = rounded(box);
    shape = shape.map(rounded);
    draw();
    if (isMarked() && subject.classes.length) ask({ members: members(), startedAt });
  }

  const least = () => LEAST * (stage.crop.x1 - stage.crop.x0) / subject.model.preprocessing.crop_px;
  const isBox = () => box && box.x1 - box.x0 >= least() && box.y1 - box.y0 >= least();
  const isMarked = () => (tool === "box" ? isBox() : shape.length > 2 && area(shape) >= least() ** 2);

  function draw() {
    const marks = [];
    if (tool === "box" && box) {
      marks.push(svg("rect", { class: `occluded ${fillings.value}`, x: box.x0, y: box.y0, width: box.x1 - box.x0, height: box.y1 - box.y0 }));
      const size = 5 * stage.scale;
      for (const [x, y] of CORNERS) marks.push(svg("rect", { class: "handle", x: box[x] - size, y: box[y] - size, width: 2 * size, height: 2 * size }));
    }
    if (tool === "shape" && shape.length) {
      marks.push(svg("path", { class: `occluded ${fillings.value}`, d: `M${shape.map(({ x, y }) => `${x} ${y}`).join("L")}Z` }));
    }
    stage.brush.replaceChildren(...marks);
  }

  /** Return what a press grabs: a corner, the inside of the box or shape, or nothing. */
  function grab(point) {
    const near = 12 * stage.scale;
    if (tool === "box" && box) {
      const corner = CORNERS.find(([x, y]) => Math.hypot(box[x] - point.x, box[y] - point.y) < near);
      if (corner) return { corner };
      if (point.x > box.x0 && point.x < box.x1 && point.y > box.y0 && point.y < box.y1) return { from: point, box: { ...box } };
    }
    if (tool === "shape" && shape.length > 2 && inside(shape, point)) return { from: point, shape: [...shape] };
    return null;
  }

  function moveBy(dx, dy, from) {
    const limits = stage.crop;
    if (tool === "box") {
      const width = from.x1 - from.x0;
      const height = from.y1 - from.y0;
      const x0 = clamp(from.x0 + dx, limits.x0, limits.x1 - width);
      const y0 = clamp(from.y0 + dy, limits.y0, limits.y1 - height);
      box = { x0, y0, x1: x0 + width, y1: y0 + height };
    } else shape = from.map(({ x, y }) => stage.inside({ x: x + dx, y: y + dy }));
  }

  return {
    fillings,
    /** Choose the tool, box or shape. */
    use(name) {
      if (name === tool) return;
      tool = name;
      this.clear();
    },
    press(point) {
      grabbed = grab(point);
      if (grabbed) return;
      if (tool === "box") {
        box = { x0: point.x, y0: point.y, x1: point.x, y1: point.y };
        grabbed = { anchor: point };
      } else {
        shape = [point];
        grabbed = { drawing: true };
      }
    },
    drag(point, startedAt) {
      if (!grabbed) return;
      if (grabbed.anchor) box = spanned(grabbed.anchor, point);
      else if (grabbed.corner) {
        const [x, y] = grabbed.corner;
        grabbed = { anchor: { x: box[x === "x0" ? "x1" : "x0"], y: box[y === "y0" ? "y1" : "y0"] } };
        box = spanned(grabbed.anchor, point);
      } else if (grabbed.from) moveBy(point.x - grabbed.from.x, point.y - grabbed.from.y, grabbed.box || grabbed.shape);
      else if (far(shape.at(-1), point, 3 * stage.scale)) shape.push(point);
      occlude(startedAt);
    },
    release(startedAt) {
      if (grabbed?.drawing && !isMarked()) this.clear();
      if (grabbed?.anchor && !isBox()) this.clear();
      if (grabbed && (box || shape.length)) occlude(startedAt);
      grabbed = null;
    },
    /** Move the box with the keyboard, or change its size; without one, begin in the middle. */
    nudge(dx, dy, resize, startedAt) {
      const { x0, y0, x1, y1 } = stage.crop;
      if (tool === "shape" && shape.length > 2) moveBy(dx, dy, shape);
      else if (tool === "shape") return;
      else if (!box) box = { x0: x0 + 3 * (x1 - x0) / 7, y0: y0 + 3 * (y1 - y0) / 7, x1: x0 + 4 * (x1 - x0) / 7, y1: y0 + 4 * (y1 - y0) / 7 };
      else if (resize) box = { ...box, x1: clamp(box.x1 + dx, box.x0 + least(), x1), y1: clamp(box.y1 + dy, box.y0 + least(), y1) };
      else moveBy(dx, dy, box);
      occlude(startedAt);
    },
    clear() {
      ask.cancel();
      box = null;
      shape = [];
      grabbed = null;
      if (stage.photo) draw();
      if (subject.classes.length) classes.compare(null);
    },
    again: () => occlude(),
    get active() { return Boolean(box) || shape.length > 0; },
    calls: () => (subject.model && stage.crop && subject.classes.length && isMarked() ? [["occlude", { ...members(), pictures: undefined }]] : []),
  };
}

/** Return coordinates rounded to tenths of a pixel. */
const rounded = (part) => Object.fromEntries(Object.entries(part).map(([side, value]) => [side, Math.round(value * 10) / 10]));

function spanned(a, b) {
  return { x0: Math.min(a.x, b.x), y0: Math.min(a.y, b.y), x1: Math.max(a.x, b.x), y1: Math.max(a.y, b.y) };
}

const far = (a, b, distance) => !a || Math.hypot(a.x - b.x, a.y - b.y) >= distance;

/** Return the area of a polygon, by the shoelace formula. */
function area(polygon) {
  return Math.abs(polygon.reduce((sum, a, index) => {
    const b = polygon[(index + 1) % polygon.length];
    return sum + a.x * b.y - b.x * a.y;
  }, 0)) / 2;
}

/** Return whether a point is inside a polygon, by the even-odd rule. */
function inside(polygon, point) {
  let odd = false;
  polygon.forEach((a, index) => {
    const b = polygon[(index + 1) % polygon.length];
    if (a.y > point.y !== b.y > point.y && point.x < a.x + (point.y - a.y) / (b.y - a.y) * (b.x - a.x)) odd = !odd;
  });
  return odd;
}
