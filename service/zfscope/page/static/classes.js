// The classes as bars; a click chooses the class that everything is about. Before and after an occlusion side by side.

import { announce, sentence } from "./notices.js";
import { fill, h, percent } from "./dom.js";
import { change } from "./state.js";
import { currentClass, on, subject } from "./subject.js";

const MOST = 10;

/** Create the list of classes. */
export function createClasses() {
  const list = h("ol", { class: "classes" });
  const note = h("p", { class: "note" });
  const node = h("section", { class: "panel", "aria-labelledby": "classes-heading" },
    h("h2", { id: "classes-heading" }, "Classes"), list, note);
  const warnings = h("div");
  node.append(warnings);
  let after = null;

  const hint = () => (subject.classes.length
    ? "Choose a class for the sweep and the comparison." : "This model has no classes: it ends in feature maps.");

  /** Return the classes to show: the most likely ones, and the chosen one. */
  function shown() {
    const first = subject.classes.slice(0, MOST);
    const chosen = currentClass();
    return chosen && !first.includes(chosen) ? [...first, chosen] : first;
  }

  function draw() {
    const chosen = currentClass();
    fill(list, shown().map((score) => row(score, score === chosen, after?.get(score.id))));
    fill(note, after ? "Thin: the photo as it is. Thick: with the brushed part occluded." : hint());
    fill(warnings, subject.warnings.map((warning) => h("p", { class: "warning" }, sentence(warning))));
  }

  const waiting = () => fill(list, h("li", { class: "waiting" }, "Classifying…"));
  on("photo", () => { after = null; waiting(); });
  on("classes", () => {
    after = null;
    draw();
    if (subject.classes[0]) announce(`Most likely class: ${subject.classes[0].label}, ${percent(subject.classes[0].probability)}`);
  });
  on("class", draw);

  return {
    node,
    shown,
    /** Show probabilities after an occlusion, by class id; null: none. */
    compare(probabilities) {
      after = probabilities;
      draw();
    },
  };
}

function row(score, isChosen, after) {
  const bar = (value, kind) => {
    const element = h("span", { class: `bar ${kind}` });
    element.style.setProperty("--value", value);
    return element;
  };
  const changed = after !== undefined;
  const spoken = changed ? `${percent(score.probability)}, ${percent(after)} occluded` : percent(score.probability);
  return h("li", {},
    h("button", {
      type: "button", class: changed ? "class changed" : "class", "aria-pressed": String(isChosen), "data-id": score.id,
      "aria-label": `${score.label}, ${spoken}`, title: `${score.label} (${score.id}): logit ${score.logit.toFixed(2)}`,
      onclick: () => change({ class: score === subject.classes[0] ? "" : score.id }, { replace: true }),
    },
    h("span", { class: "label" }, score.label),
    h("span", { class: "bars", "aria-hidden": "true" }, bar(score.probability, "before"), changed ? bar(after, "after") : null),
    h("span", { class: "value" }, changed ? [h("s", {}, percent(score.probability)), " ", percent(after)] : percent(score.probability))));
}
