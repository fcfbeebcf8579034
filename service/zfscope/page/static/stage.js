// A photo with what is drawn over it: the network's crop, receptive fields, a heat map, a cursor and a brush.

import { drawHeat } from "./colours.js";
import { clamp, h, svg } from "./dom.js";

// A photo that is wider or higher than this multiple of its other side is shown in part: its middle, where the crop is.
const MOST_RATIO = 2.5;

/** Drawing area of a photo; all coordinates are in photo pixels. */
export class Stage {
  /** label: words for people who do not see it. */
  constructor(label) {
    this.image = h("img", { class: "photo", alt: "", draggable: "false" });
    this.heat = h("canvas", { class: "heat", hidden: true, role: "img", "aria-label": "Heat map" });
    this.outside = svg("path", { class: "outside" });
    this.frame = svg("rect", { class: "frame" });
    this.fields = svg("g", { class: "fields" });
    this.brush = svg("g", { class: "brush" });
    this.cursor = svg("g", { class: "cursor" });
    this.overlay = svg("svg", { class: "overlay", preserveAspectRatio: "none", "aria-hidden": "true" },
      this.outside, this.frame, this.fields, this.brush, this.cursor);
    this.node = h("div", { class: "stage", tabindex: "0", role: "application", "aria-label": label }, this.image, this.heat, this.overlay);
    this.crop = null;
  }

  /** Show a photo, or nothing. */
  show(photo) {
    this.photo = photo;
    this.crop = null;
    this.clear();
    if (!photo) return;
    const { width, height } = photo;
    const { x0, y0, x1, y1 } = this.shown = middleOf(photo);
    this.node.style.setProperty("--ratio", (x1 - x0) / (y1 - y0));
    this.overlay.setAttribute("viewBox", `${x0} ${y0} ${x1 - x0} ${y1 - y0}`);
    this.position(this.image, { x0: 0, y0: 0, x1: width, y1: height });
    this.image.onerror = () => { this.undisplayable = true; this.image.hidden = true; };
    this.image.onload = () => { this.image.hidden = false; };
    this.undisplayable = false;
    this.image.src = photo.src;
    this.image.alt = `Photo ${photo.name}, ${width} × ${height} pixels`;
    this.outside.setAttribute("d", "");
    for (const side of ["x", "y", "width", "height"]) this.frame.setAttribute(side, 0);
  }

  /** Show what the network sees: outside of it the photo is paler. A photo that browsers cannot show is shown there. */
  showCrop(crop) {
    this.crop = crop.box;
    const { width, height } = this.photo;
    const { x0, y0, x1, y1 } = crop.box;
    this.outside.setAttribute("d", `M0 0H${width}V${height}H0Z M${x0} ${y0}V${y1}H${x1}V${y0}Z`);
    place(this.frame, crop.box);
    if (this.undisplayable) {
      this.image.onerror = null;
      this.image.src = crop.src;
      this.position(this.image, crop.box);
    }
    this.position(this.heat, crop.box);
  }

  /** Position an element over a box. */
  position(element, { x0, y0, x1, y1 }) {
    const { shown } = this;
    const [width, height] = [shown.x1 - shown.x0, shown.y1 - shown.y0];
    const share = (part, whole) => `${100 * part / whole}%`;
    Object.assign(element.style, { left: share(x0 - shown.x0, width), top: share(y0 - shown.y0, height), width: share(x1 - x0, width), height: share(y1 - y0, height) });
  }

  /** Draw receptive fields; the first is emphasized. */
  showFields(boxes) {
    const kinds = (index) => (index ? ["shade", "field"] : ["shade", "field first"]);
    const drawn = (index) => kinds(index).map((kind) => place(svg("rect", { class: kind }), boxes[index]));
    this.fields.replaceChildren(...[...boxes.keys()].reverse().flatMap(drawn));
  }

  /** Photo pixels per pixel of the screen. */
  get scale() {
    const width = this.shown.x1 - this.shown.x0;
    return width / (this.node.clientWidth || width);
  }

  /** Draw the cursor at a point, or none. pinned: drawn as a ring. */
  showCursor(point, pinned = false) {
    if (!point) return this.cursor.replaceChildren();
    const size = this.scale;
    return this.cursor.replaceChildren(
      svg("circle", { cx: point.x, cy: point.y, r: (pinned ? 7 : 3.5) * size, class: pinned ? "ring" : "dot" }),
    );
  }

  /** Draw values (rows, columns) over what the network sees. words: for people who do not see them. */
  showHeat(map, bounds, { opacity, words }) {
    drawHeat(this.heat, map, bounds);
    this.heat.hidden = false;
    this.heat.style.setProperty("opacity", opacity);
    this.heat.setAttribute("aria-label", words);
  }

  /** Remove everything that is drawn over the photo except the frame. */
  clear() {
    this.fields.replaceChildren();
    this.brush.replaceChildren();
    this.cursor.replaceChildren();
    this.heat.hidden = true;
  }

  /** Return the point of a mouse or touch event in photo pixels. inCrop: moved into what the network sees. */
  point(event, inCrop = true) {
    const bounds = this.overlay.getBoundingClientRect();
    const { x0, y0, x1, y1 } = this.shown;
    const point = {
      x: x0 + (event.clientX - bounds.left) / bounds.width * (x1 - x0),
      y: y0 + (event.clientY - bounds.top) / bounds.height * (y1 - y0),
    };
    return inCrop ? this.inside(point) : point;
  }

  /** Return a point moved into what the network sees. */
  inside(point) {
    const box = this.crop || { x0: 0, y0: 0, x1: this.photo.width, y1: this.photo.height };
    const edge = 0.01;
    return { x: clamp(point.x, box.x0, box.x1 - edge), y: clamp(point.y, box.y0, box.y1 - edge) };
  }
}

/** Return the part of a photo that is shown: all of it, unless it is extremely wide or high. */
function middleOf({ width, height }) {
  const [right, lower] = [Math.min(width, height * MOST_RATIO), Math.min(height, width * MOST_RATIO)];
  return { x0: (width - right) / 2, y0: (height - lower) / 2, x1: (width + right) / 2, y1: (height + lower) / 2 };
}

/** Set the position of a rectangle. */
export function place(rectangle, { x0, y0, x1, y1 }) {
  rectangle.setAttribute("x", x0);
  rectangle.setAttribute("y", y0);
  rectangle.setAttribute("width", Math.max(0, x1 - x0));
  rectangle.setAttribute("height", Math.max(0, y1 - y0));
  return rectangle;
}
