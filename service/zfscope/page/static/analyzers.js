// Any analyzer: a form from its schema, progress, Cancel, and its result.

import { analyze, getJson } from "./api.js";
import { fill, h, painted } from "./dom.js";
import { announce, dismiss, notify, notifyError, sentence } from "./notices.js";
import { schemaForm } from "./forms.js";
import { upload } from "./photos.js";
import { resultNodes } from "./results.js";
import { address, change, state } from "./state.js";
import { isReady, on, subject } from "./subject.js";
import { progressBar } from "./sweep.js";

/** Create the view. */
export function createAnalyzers(root) {
  const list = h("nav", { class: "side", "aria-label": "Analyzers" });
  const body = h("div", { class: "analyzer" });
  fill(root, h("div", { class: "columns" }, list, body));
  let listed = [];
  let listedFor = null;
  let key = "";
  let photos = [];
  let form = null;
  let controller = null;
  let last = null;
  const result = h("div", { class: "result", "aria-live": "polite" });
  const progress = progressBar("Progress of the analysis", () => controller?.abort());

  const chosen = () => listed.find((each) => each.name === state().analyzer) || listed[0];

  async function load() {
    const { model } = subject;
    const { name, version } = model.summary;
    listedFor = model;
    try {
      const { analyzers } = await getJson(`v1/analyzers?${new URLSearchParams({ model: name, version })}`);
      if (listedFor !== model) return;
      listed = analyzers;
      draw();
    } catch (error) {
      if (listedFor === model) listedFor = null;
      notifyError("analyzers", error);
    }
  }

  function draw() {
    const analyzer = chosen();
    if (!analyzer) return;
    if (state().analyzer && state().analyzer !== analyzer.name) {
      notify("address", `Analyzer '${state().analyzer}' not found; ${analyzer.name} is shown.`, "note");
      return void change({ analyzer: "" }, { replace: true });
    }
    fill(list, listed.map((each) => h("a", {
      href: address({ analyzer: each.name }), "aria-current": each === analyzer ? "page" : null,
      class: each.unavailable ? "unavailable" : null, title: each.unavailable || null,
    }, each.name, each.unavailable ? h("span", { class: "spoken" }, " (unavailable)") : null)));
    photos = subject.photo && analyzer.photos[1] > 0 ? [subject.photo] : [];
    controller?.abort();
    last = null;
    form = schemaForm(analyzer.parameters_schema, {
      layers: subject.model.layers.map((layer) => layer.name), labels: subject.model.labels.map((label) => label.name),
    });
    const reason = analyzer.unavailable && sentence({ message: analyzer.unavailable });
    const run = h("button", {
      class: "primary", disabled: Boolean(reason), "aria-disabled": reason ? "true" : null, "aria-describedby": reason ? "unavailable" : null,
    }, "Run");
    const tensors = h("label", {}, h("input", { type: "checkbox", name: "tensors" }), " tensors");
    fill(result);
    fill(body,
      h("h1", {}, analyzer.name), h("p", {}, analyzer.summary), facts(analyzer),
      reason ? h("p", { class: "warning", id: "unavailable" }, reason) : null,
      h("form", { class: "parameters", novalidate: true, onsubmit: (event) => {
        event.preventDefault();
        start(analyzer, event.target.elements.tensors.checked, run, event.timeStamp);
      } }, analyzer.photos[1] > 0 ? photoList(analyzer) : null, form.node, h("div", { class: "row" }, run, tensors, progress.node)),
      result);
  }

  function photoList(analyzer) {
    const [least, most] = analyzer.photos;
    const items = h("ul", { class: "photos" });
    const input = h("input", { type: "file", accept: "image/*", multiple: true, hidden: true, "aria-label": "Further photos" });
    const update = () => fill(items, photos.map((photo, index) => h("li", {}, h("img", { src: photo.src, alt: photo.name }),
      h("button", { type: "button", "aria-label": `Leave out ${photo.name}`, onclick: () => { photos.splice(index, 1); update(); } }, "×"))));
    input.addEventListener("change", async () => {
      try {
        for (const file of input.files) photos.push(await upload(file, { name: file.name }));
      } catch (error) {
        notifyError("analyzer", error);
      }
      update();
    });
    update();
    const count = least === most ? `${least}` : `${least} to ${most}`;
    return h("fieldset", {}, h("legend", {}, `Photos (${count})`), items, input, h("button", { type: "button", onclick: () => input.click() }, "Add photos"));
  }

  async function start(analyzer, tensors, run, startedAt) {
    dismiss("analyzer");
    if (controller || analyzer.unavailable) return;
    controller = new AbortController();
    const { signal } = controller;
    run.disabled = true;
    try {
      form.showErrors({});
      const { name, version } = subject.model.summary;
      const body_ = { model: name, version, photos: photos.map((photo) => photo.hash), parameters: form.values() };
      last = [`analyze/${analyzer.name}`, body_];
      progress.show({ fraction: 0 });
      fill(result);
      const answer = await analyze(`v1/analyze/${encodeURIComponent(analyzer.name)}`, { ...body_, tensors, partial_results: true }, {
        signal,
        report(report) {
          progress.show(report);
          if (report.partial) fill(result, resultNodes(report.partial));
        },
      });
      fill(result, resultNodes(answer));
      painted("analyzer", startedAt);
      announce(`${analyzer.name} finished`);
    } catch (error) {
      show(error);
    }
    controller = null;
    run.disabled = false;
    progress.hide();
  }

  function show(error) {
    if (error.name === "AbortError") return fill(result, h("p", { class: "note" }, "Cancelled."));
    const fields = error.fields && Object.keys(error.fields).length ? error.fields : { [error.field || ""]: error.message };
    const others = form.showErrors(fields);
    if (others.length) notifyError("analyzer", error);
    announce(sentence(error));
    return fill(result);
  }

  function update() {
    if (state().view !== "analyze" || !subject.model) return;
    const wanted = JSON.stringify([subject.model.summary.name, subject.model.summary.version, subject.photo?.hash, state().analyzer]);
    if (key !== (key = wanted)) (listedFor === subject.model ? draw : load)();
  }

  on("state", update);
  on("subject", update);
  return {
    title: () => state().analyzer || "Analyzers",
    key: (event) => (event.key === "Escape" && controller ? (controller.abort(), true) : false),
    calls: () => (last && isReady() ? [last] : []),
  };
}

function facts(analyzer) {
  const cost = analyzer.cost ? `about ${analyzer.cost.toLocaleString("en")} forward ${analyzer.cost === 1 ? "pass" : "passes"} per photo with these defaults` : "cost depends on the parameters";
  return h("p", { class: "note" }, `From ${analyzer.distribution} ${analyzer.version}; ${cost}.`);
}
