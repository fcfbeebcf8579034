// The page of one unit: its projection, the patch that it sees, a control, and the map in an index and over training.

import { analyze, newestWins, post, untilIdle } from "./api.js";
import { fill, h, painted, strength, switcher } from "./dom.js";
import { reporting, sentence } from "./notices.js";
import { fetchTensor } from "./npy.js";
import { className, recordTiles } from "./records.js";
import { address, change, state } from "./state.js";
import { currentLayer, hasMaps, isReady, on, request, subject, unavailable, unitName } from "./subject.js";
import { histogram, square } from "./tiles.js";

export const RULES = [
  ["deconvnet", "deconvnet", "Rectify the signal, as in the paper"],
  ["guided", "guided", "Rectify the signal, and pass it only where the unit was active"],
  ["gradient", "gradient", "Pass the signal only where the unit was active"],
];
export const NORMALISATIONS = [
  ["skip", "skip", "Pass contrast normalisations unchanged, as in the paper"],
  ["gradient", "gradient", "Pass contrast normalisations by their gradient"],
];

const MOST_CLASSES = 10;
const LARGE = { sheet: false, tile_px: 360 };

/** Create the view. */
export function createUnit(root) {
  const heading = h("div", { class: "heading" });
  const figures = h("div", { class: "trio" });
  const note = h("p", { class: "note" });
  const notices = h("div");
  const rules = switcher("Rule of rectifiers", RULES, "deconvnet", (rule) => change({ rule: rule === "deconvnet" ? "" : rule }, { replace: true }));
  const normalisations = switcher("Contrast normalisation", NORMALISATIONS, "skip", (normalisation) => change({ normalisation: normalisation === "skip" ? "" : normalisation }, { replace: true }));
  const switches = h("div", { class: "row switches" }, h("span", {}, "Rule ", rules), h("span", {}, "Normalisation ", normalisations));
  const records = h("section", { class: "records" });
  const training = h("section", { class: "training" });
  fill(root, heading, switches, figures, note, notices, records, training);
  let drawn = "";
  let history = "";
  let indexCalls = [];

  const unit = () => ({ map: Number(state().map), ...(state().y ? { y: Number(state().y), x: Number(state().x) } : {}) });
  const members = () => request({ layer: currentLayer().name, units: [unit()], rule: state().rule, normalisation: state().normalisation });

  const ask = newestWins(async ({ wanted, startedAt }, signal) => {
    const answer = await post("v1/project", { ...wanted, ...LARGE }, { signal });
    show(answer, startedAt);
    const controlled = await post("v1/project", { ...wanted, ...LARGE, control: true }, { signal });
    show(controlled);
  }, (error) => { if (error) fill(note, sentence(error)); });

  const askHistory = newestWins(async (wanted, signal) => {
    await untilIdle();
    for (const [section, show] of [[records, showRecords], [training, showTraining]]) {
      const answered = await show(section, wanted, signal);
      if (answered && !signal.aborted) indexCalls.push(answered);
    }
  }, reporting("unit"));

  function show({ projections: [projection], warnings }, startedAt) {
    const name = unitName(currentLayer(), projection.map);
    const controlled = projection.control_ssim !== null;
    const count = projection.picture && controlled ? 3 : 2;
    const about = `${currentLayer().name} ${name}`;
    fill(figures,
      figure("Projection", square(projection.picture, 0, count, `Projection of ${about}: the pixels that it responds to`)),
      figure("Patch of the photo", square(projection.picture, 1, count, `Part of the photo that ${about} sees`)),
      figure(controlled ? "Control: randomised weights" : "Control", controlled
        ? square(projection.picture, 2, 3, `Projection of ${about} through randomised weights`)
        : h("span", { class: "nothing" }, "Projecting with randomised weights…")));
    const { x0, y0, x1, y1 } = projection.receptive_field;
    const place = projection.y === null ? "" : ` at row ${projection.y}, column ${projection.x}`;
    const similarity = controlled
      ? ` Similarity to the control: SSIM ${strength(projection.control_ssim)}, rank correlation ${strength(projection.control_rank_correlation)}.`
      : "";
    note.textContent = `Activation ${strength(projection.activation)}${place}; receptive field ${Math.round(x1 - x0)} × ${Math.round(y1 - y0)} photo pixels.${similarity} Grey is zero.`;
    fill(notices, warnings.map((warning) => h("p", { class: "warning" }, sentence(warning))));
    painted("unit", startedAt);
  }

  function title() {
    const layer = currentLayer();
    const map = Number(state().map);
    const step = (offset, rel, text) => (map + offset >= 0 && map + offset < layer.shape[0]
      ? h("a", { rel, href: address({ map: map + offset, y: "", x: "" }) }, text) : h("span"));
    fill(heading,
      h("h1", {}, h("a", { href: address({ view: "", map: "", y: "", x: "" }) }, layer.name), ` ${unitName(layer, map)}`),
      h("nav", { class: "steps", "aria-label": "Maps" }, step(-1, "prev", map - 1),
        state().y ? h("a", { href: address({ y: "", x: "" }) }, "strongest unit") : null, step(1, "next", map + 1)),
      h("p", {}, `${layer.kind} of ${subject.model.summary.name}: ${layer.shape[0]} ${layer.shape.length === 3 ? "maps" : "units"}${hasMaps(layer) ? ` of ${layer.shape[1]} × ${layer.shape[2]}` : ""}`));
  }

  /** Remove the projection of another model. */
  function leaveProjection() {
    ask.cancel();
    drawn = "";
    fill(figures);
    fill(notices);
  }

  /** Cancel what is in flight once the view is left; the next visit asks for it again. */
  function leave() {
    if (ask.cancel()) drawn = "";
    if (askHistory.cancel()) history = "";
  }

  function update() {
    const startedAt = subject.since;
    if (state().view !== "unit" || !subject.model || !state().map) return leave();
    switches.hidden = Boolean(unavailable("project"));
    rules.press(state().rule || "deconvnet");
    normalisations.press(state().normalisation || "skip");
    title();
    if (!isReady()) {
      fill(note, "Bring a photo to see what this unit responds to.");
      fill(figures);
      fill(notices);
    } else if (unavailable("project")) {
      leaveProjection();
      fill(note, unavailable("project"));
    } else if (drawn !== (drawn = JSON.stringify(members()))) {
      ask.cancel();
      ask({ wanted: members(), startedAt });
    }
    if (history !== (history = JSON.stringify([subject.model.summary, currentLayer().name, state().map]))) {
      askHistory.cancel();
      indexCalls = [];
      fill(records);
      fill(training);
      askHistory(indexed());
    }
  }

  on("state", update);
  on("subject", update);

  return {
    title: () => `${currentLayer()?.name || ""} ${state().map || ""}`,
    key(event) {
      const link = { ArrowLeft: "prev", ArrowRight: "next" }[event.key];
      if (link) heading.querySelector(`[rel=${link}]`)?.click();
      else if (event.key === "Escape") change({ view: "", y: "", x: "" });
      else return false;
      return true;
    },
    calls: () => [...(isReady() && state().map && !unavailable("project") ? [["project", { ...members(), control: true }]] : []), ...indexCalls],
  };
}

const figure = (caption, picture) => h("figure", {}, picture, h("figcaption", {}, caption));

function indexed() {
  const { name, version } = subject.model.summary;
  return { model: name, version, layer: currentLayer().name, maps: [Number(state().map)] };
}

/** Show the map in the model's index: strongest photos, histogram and classes. Return the call, null if it failed. */
async function showRecords(root, members, signal) {
  let answer;
  let patches;
  try {
    answer = await analyze("v1/top-k", { ...members, tensors: true }, { signal });
    patches = answer.patches && (await fetchTensor(answer.patches, { signal }));
  } catch (error) {
    if (error.name === "AbortError") throw error;
    fill(root, h("h2", {}, "In the index"), h("p", { class: "note" }, sentence(error)));
    return null;
  }
  const [map] = answer.maps;
  fill(root, h("h2", {}, "In the index"),
    h("p", { class: "note" }, map.dead ? "None of the photos activates this map." : `Active in ${map.alive.toLocaleString("en")} of ${map.images.toLocaleString("en")} photos.`),
    answer.picture ? h("img", { class: "sheet", src: answer.picture.url, alt: `Projections and patches of the strongest photos of map ${map.map}` }) : null,
    recordTiles(answer, patches),
    h("div", { class: "pair" }, histogramFigure(map), classesFigure(map)));
  return ["top-k", members];
}

// Edge of the last bin of a histogram, which has no limit: the largest float32.
const UNLIMITED = 3e38;

function histogramFigure({ histogram: counted }) {
  if (!counted?.counts.length) return null;
  const { zeros, edges, counts } = counted;
  const [low, high] = [strength(edges[0]), edges.at(-1) > UNLIMITED ? "more" : strength(edges.at(-1))];
  const words = `Photos by the map's largest activation, from ${low} to ${high}; ${zeros.toLocaleString("en")} photos do not activate it`;
  return h("figure", {}, h("figcaption", {}, `${words}.`), histogram(counts, edges, words),
    h("div", { class: "ends note" }, h("span", {}, low), h("span", {}, high)));
}

function classesFigure({ classes }) {
  if (!classes?.length) return null;
  const rows = classes.slice(0, MOST_CLASSES).map(({ label, photos, images, mean }) => h("tr", {}, h("td", {}, className(label)),
    h("td", { class: "number" }, photos.toLocaleString("en")), h("td", { class: "number" }, images?.toLocaleString("en") ?? ""), h("td", { class: "number" }, strength(mean))));
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Classes" }, h("table", {}, h("caption", {}, "Classes of its strongest photos"),
    h("thead", {}, h("tr", {}, ["class", "photos", "of", "mean activation"].map((text, index) => h("th", { scope: "col", class: index ? "number" : "" }, text)))),
    h("tbody", {}, rows)));
}

/** Show the map's evolution over training, where epochs have an index. Return the call, null if it failed. */
async function showTraining(root, wanted, signal) {
  const members = { ...wanted, settling: false };
  if (unavailable("evolve")) {
    fill(root, h("h2", {}, "During training"), h("p", { class: "note" }, unavailable("evolve")));
    return null;
  }
  try {
    const answer = await analyze("v1/evolve", members, { signal });
    fill(root, h("h2", {}, "During training"),
      h("img", { class: "sheet", src: answer.picture.url, alt: `The strongest photo of map ${members.maps[0]} after each epoch: projection and patch` }));
    return ["evolve", members];
  } catch (error) {
    if (error.name === "AbortError") throw error;
    fill(root, h("h2", {}, "During training"), h("p", { class: "note" }, sentence(error)));
    return null;
  }
}
