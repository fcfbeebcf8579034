// Results of any analyzer: numbers, tables, pictures, and links to tensors.

import { h, strength } from "./dom.js";
import { sentence } from "./notices.js";

const MOST_ROWS = 200;

/** Return the parts of a result as elements. */
export function resultNodes(result) {
  return [
    ...(result.warnings || []).map((warning) => h("p", { class: "warning" }, sentence(warning))),
    ...(result.pictures || []).map(picture),
    numbers(result.numbers || {}),
    ...Object.entries(result.tables || {}).map(([name, rows]) => table(name, rows)),
    tensors(result.tensors || {}),
  ].filter(Boolean);
}

function picture({ name, url, scale }) {
  return h("figure", { class: "shown" }, h("img", { src: url, alt: `${name}: ${scale}` }), h("figcaption", {}, `${name}: ${scale}`));
}

function numbers(values) {
  const entries = Object.entries(values);
  return entries.length ? h("dl", { class: "numbers" }, entries.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, strength(value))))) : null;
}

/** Return a table of rows, by column name. */
export function table(name, rows) {
  if (!rows.length) return null;
  const columns = Object.keys(rows[0]);
  const isNumber = (column) => rows.every((row) => row[column] === null || typeof row[column] === "number");
  const kind = Object.fromEntries(columns.map((column) => [column, isNumber(column) ? "number" : ""]));
  const cell = (value) => (typeof value === "number" && !Number.isInteger(value) ? strength(value) : String(value ?? ""));
  const left = rows.length - MOST_ROWS;
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `Table ${name}` }, h("table", {},
    h("caption", {}, left > 0 ? `${name}, the first ${MOST_ROWS} of ${rows.length.toLocaleString("en")} rows` : name),
    h("thead", {}, h("tr", {}, columns.map((column) => h("th", { scope: "col", class: kind[column] }, column)))),
    h("tbody", {}, rows.slice(0, MOST_ROWS).map((row) => h("tr", {}, columns.map((column) => h("td", { class: kind[column] }, cell(row[column]))))))));
}

function tensors(links) {
  const entries = Object.entries(links);
  return entries.length ? h("p", { class: "note" }, "Tensors: ", entries.map(([name, { url, dtype, shape }], index) => [
    index ? ", " : "", h("a", { href: url, download: `${name}.npy` }, name), ` ${dtype} ${shape.join(" × ")}`])) : null;
}
