// The whole occlusion map of a class, drawn over the photo as it comes in.

import { analyze } from "./api.js";
import { range } from "./colours.js";
import { fill, h, painted, percent, seconds } from "./dom.js";
import { announce, dismiss, notify, notifyError } from "./notices.js";
import { fetchTensor } from "./npy.js";
import { currentClass, isReady, on, request } from "./subject.js";

/** Return a bar of progress with the time left and a button that cancels. */
export function progressBar(label, cancel) {
  const bar = h("progress", { max: "1", value: "0", "aria-label": label });
  const text = h("span", { class: "left" });
  const values = h("span", { class: "note" });
  const button = h("button", { type: "button", onclick: cancel }, "Cancel");
  const node = h("div", { class: "progress", hidden: true }, bar, text, button, values);
  return {
    node,
    button,
    show({ fraction, seconds_left: left }) {
      node.hidden = false;
      bar.value = fraction;
      text.textContent = `${Math.round(100 * fraction)} %${left ? `, ${seconds(left)}` : ""}`;
    },
    /** Show the range of the values so far. */
    range(text_) { values.textContent = text_; },
    hide() {
      node.hidden = true;
      values.textContent = "";
    },
  };
}

/** Return the legend of an occlusion map, hidden. write(label, low, high): what the ends of its scale mean. */
export function mapLegend(...controls) {
  const text = h("p", { class: "legend" });
  return {
    node: h("div", { class: "row", hidden: true }, text, controls),
    write(label, low, high) {
      fill(text, `Probability of ${label}, occluded there: `, h("span", { class: "values" }, h("span", { class: "low" }, percent(low)),
        h("span", { class: "scale", "aria-hidden": "true" }), h("span", { class: "high" }, percent(high))));
    },
    get words() { return text.textContent; },
  };
}

/** Create the sweep of a stage. readout: text below it, which gives its place to progress and legend. */
export function createSweep(stage, readout) {
  const start = h("button", { type: "button", title: "Occlude the photo window by window (S)", onclick: (event) => run(event.timeStamp) }, "Sweep");
  const clear = h("button", { type: "button", onclick: () => hide() }, "Hide map");
  const opacity = h("input", { type: "range", min: "0.2", max: "1", step: "0.05", value: "0.75", "aria-label": "Opacity of the map" });
  const progress = progressBar("Progress of the sweep", () => controller?.abort());
  const legend = mapLegend(opacity, clear);
  let controller = null;
  let last = null;

  opacity.addEventListener("input", () => stage.heat.style.setProperty("opacity", opacity.value));

  async function run(startedAt) {
    if (!isReady() || controller) return;
    const about = currentClass();
    if (!about) return void notify("sweep", "This model has no classes, so there is none to sweep for.", "note");
    dismiss("sweep");
    controller = new AbortController();
    const { signal } = controller;
    last = request({ classes: [about.id] });
    start.disabled = true;
    readout.hidden = legend.node.hidden = true;
    progress.show({ fraction: 0 });
    announce(`Sweep for ${about.label} started`);
    let first = startedAt;
    try {
      const result = await analyze("v1/occlude", { ...last, pictures: false, tensors: true, partial_results: true }, {
        signal,
        report(report) {
          progress.show(report);
          const link = report.partial?.tensors?.["value-maps"];
          if (link) fetchTensor(link, { signal }).then((maps) => {
            if (signal.aborted) return;
            draw(maps, about, true);
            painted("sweep", first);
            first = undefined;
          }).catch(() => {});
        },
      });
      const [score] = result.classes;
      draw(await fetchTensor(score.value_map, { signal }), about, false, score);
      controller.abort();
      announce(`Sweep finished: ${legend.words}`);
    } catch (error) {
      notifyError("sweep", error);
      if (error.name === "AbortError") announce("Sweep cancelled");
    }
    controller = null;
    start.disabled = false;
    progress.hide();
    legend.node.hidden = stage.heat.hidden;
    readout.hidden = !legend.node.hidden;
  }

  function draw(maps, about, partial, score) {
    const map = maps.shape.length === 3 ? { shape: maps.shape.slice(1), values: maps.values } : maps;
    const count = map.shape[0] * map.shape[1];
    const values = map.values.subarray(0, count);
    const [low, high] = range(values);
    const words = `Occlusion map of ${about.label}: from ${percent(low)} to ${percent(high)}`;
    stage.showHeat({ shape: map.shape, values }, [low, high], { opacity: opacity.value, words });
    legend.write(about.label, low, high);
    progress.range(partial ? `${percent(low)} to ${percent(high)} so far` : "");
    stage.showFields(score?.lowest_at ? [score.lowest_at] : []);
  }

  function hide() {
    stage.heat.hidden = true;
    legend.node.hidden = true;
    readout.hidden = Boolean(controller);
    stage.showFields([]);
  }

  const stop = () => { controller?.abort(); hide(); last = null; };
  // Room for the legend before there is one.
  const reserve = () => { if (currentClass() && legend.node.hidden) legend.write(currentClass().label, 0.5, 0.5); };
  on("photo", stop);
  on("classes", reserve);
  on("class", reserve);
  on("subject", stop);

  return {
    controls: [start],
    below: h("div", { class: "turns" }, readout, progress.node, legend.node),
    run,
    cancel: () => controller?.abort(),
    get running() { return controller !== null; },
    calls: () => (last ? [["occlude", last]] : []),
  };
}
