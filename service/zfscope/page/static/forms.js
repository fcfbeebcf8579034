// Forms made from JSON schemas of parameters, so that every installed analyzer has one.

import { findAll, h } from "./dom.js";

/** Return the form of an object's schema. values(): the parameters that were filled in. showErrors(fields): by name. */
export function schemaForm(schema, { layers = [], labels = [] } = {}) {
  const lists = { layers: suggestions("layer-names", layers), labels: suggestions("class-names", labels) };
  const fields = Object.entries(schema.properties || {}).map(([name, property]) => field(name, resolve(property, schema), schema, lists));
  const node = h("div", { class: "fields" }, Object.values(lists), fields.map((each) => each.node));
  return {
    node,
    /** Return the parameters. Throws an error with `field` for text that cannot be read. */
    values() {
      return Object.fromEntries(fields.map((each) => [each.name, each.read()]).filter(([, value]) => value !== undefined));
    },
    /** Show messages next to the fields, by path; return those that belong to none. */
    showErrors(messages) {
      findAll(".wrong", node).forEach((note) => { note.hidden = true; });
      fields.forEach((each) => each.input.removeAttribute("aria-invalid"));
      const others = [];
      const complaints = new Map();
      for (const [path, message] of Object.entries(messages)) {
        const place = path.replace(/^parameters\./, "");
        const owner = fields.find((each) => each.name === place.split(/[.[]/)[0]);
        if (owner) complaints.set(owner, [...complaints.get(owner) || [], place === owner.name ? message : inside(place, message)]);
        else others.push(message);
      }
      complaints.forEach((lines, owner) => owner.complain(lines.join("\n")));
      return others;
    },
  };
}

/** Return a message about a part of a field, such as `boxes[0].x1`. */
const inside = (place, message) => `${place}${message.startsWith("is ") ? " " : ": "}${message}`;

function suggestions(id, values) {
  return h("datalist", { id }, values.map((value) => h("option", { value })));
}

/** Return a property without its references and without the alternative null. */
function resolve(property, schema) {
  let resolved = { ...property };
  for (let depth = 0; depth < 10; depth += 1) {
    const alternatives = (resolved.anyOf || resolved.oneOf || []).filter((each) => each.type !== "null");
    if (resolved.$ref) resolved = { ...named(resolved.$ref, schema), ...resolved, $ref: undefined };
    else if (resolved.allOf?.length === 1) resolved = { ...resolved.allOf[0], ...resolved, allOf: undefined };
    else if (alternatives.length === 1) resolved = { ...alternatives[0], ...resolved, anyOf: undefined, oneOf: undefined };
    else break;
  }
  return resolved;
}

const named = (reference, schema) => reference.replace(/^#\//, "").split("/").reduce((part, key) => part?.[key], schema) || {};

function field(name, property, schema, lists) {
  const id = `parameter-${name}`;
  const kind = kindOf(property, schema);
  const input = kind.input(property, { id, name, "aria-describedby": `${id}-about ${id}-wrong`, ...listFor(name, lists) });
  const wrong = h("p", { class: "wrong", id: `${id}-wrong`, hidden: true });
  const about = [property.description, kind.hint].filter(Boolean).join(" ");
  const node = h("div", { class: "field" }, h("label", { for: id }, name.replaceAll("_", " ")), input,
    h("p", { class: "note", id: `${id}-about` }, withCode(about)), wrong);
  const complain = (message) => {
    wrong.textContent = message;
    wrong.hidden = false;
    input.setAttribute("aria-invalid", "true");
  };
  return { name, node, input, complain, read: () => readField(name, kind, input, property) };
}

/** Return a description in which names are in backquotes. */
const withCode = (text) => text.split("`").map((part, index) => (index % 2 ? h("code", {}, part) : part));

function readField(name, kind, input, property) {
  try {
    return kind.read(input, property);
  } catch (error) {
    throw Object.assign(new Error(error.message), { field: name, fields: { [name]: error.message } });
  }
}

function listFor(name, lists) {
  if (/^(layer|control_down_to)s?$/.test(name) && lists.layers.children.length) return { list: "layer-names" };
  return /^(classes|labels|class|label)$/.test(name) && lists.labels.children.length ? { list: "class-names" } : {};
}

const shownDefault = (property) => (property.default === undefined || property.default === null || property.default === "" || property.default?.length === 0
  ? "" : Array.isArray(property.default) ? property.default.join(", ") : String(property.default));

const text = (property, attributes) => h("input", { type: "text", placeholder: shownDefault(property), autocomplete: "off", ...attributes });

const KINDS = {
  choice: {
    input: (property, attributes) => h("select", attributes, property.default === undefined ? h("option", { value: "" }, "") : null,
      property.enum.map((value) => h("option", { value, selected: value === property.default }, String(value)))),
    read: (input, property) => (input.value === "" || input.value === String(property.default) ? undefined : property.enum.find((value) => String(value) === input.value)),
  },
  flag: {
    input: (property, attributes) => h("input", { type: "checkbox", ...attributes, checked: property.default === true }),
    read: (input, property) => (input.checked === (property.default === true) ? undefined : input.checked),
  },
  number: {
    input: (property, attributes) => h("input", {
      type: "number", placeholder: shownDefault(property), ...attributes, step: property.type === "integer" ? "1" : "any",
      min: property.minimum ?? (property.type === "integer" && property.exclusiveMinimum !== undefined ? property.exclusiveMinimum + 1 : null), max: property.maximum,
    }),
    read(input) {
      if (input.validity.badInput) throw new Error("this is not a number");
      return input.value === "" ? undefined : Number(input.value);
    },
  },
  list: {
    hint: "Several: separated by commas.",
    input: (property, attributes) => text(property, attributes),
    read(input, property) {
      const parts = input.value.split(",").map((part) => part.trim()).filter(Boolean);
      return parts.length ? parts.map((part) => item(part, property.items?.type)) : undefined;
    },
  },
  files: {
    input(property, attributes) {
      const input = h("input", { type: "file", multiple: property.type === "array", ...attributes });
      input.addEventListener("change", async () => { input.base64 = await Promise.all([...input.files].map(base64)); });
      return input;
    },
    read: (input, property) => (input.base64?.length ? (property.type === "array" ? input.base64 : input.base64[0]) : undefined),
  },
  json: {
    hint: "As JSON.",
    input: (property, attributes) => h("textarea", { rows: "2", spellcheck: "false", ...attributes, placeholder: JSON.stringify(property.default ?? example(property)) }),
    read(input) {
      if (!input.value.trim()) return undefined;
      try {
        return JSON.parse(input.value);
      } catch (error) {
        throw new Error(`this is not valid JSON: ${error.message}`);
      }
    },
  },
  text: {
    input: (property, attributes) => text(property, attributes),
    read: (input) => input.value || undefined,
  },
};

const base64 = (file) => new Promise((resolve, reject) => {
  const reader = new FileReader();
  reader.onload = () => resolve(reader.result.slice(reader.result.indexOf(",") + 1));
  reader.onerror = () => reject(reader.error);
  reader.readAsDataURL(file);
});

function item(part, type) {
  if (type !== "number" && type !== "integer") return part;
  if (Number.isNaN(Number(part))) throw new Error(`'${part}' is not a number`);
  return Number(part);
}

const example = (property) => (property.type === "array" ? [] : property.type === "object" ? {} : null);

function kindOf(property, schema) {
  if (property.enum) return KINDS.choice;
  if (property.type === "boolean") return KINDS.flag;
  if (property.type === "integer" || property.type === "number") return KINDS.number;
  if (property.type === "array") {
    const items = resolve(property.items || {}, schema);
    if (items.format === "base64") return KINDS.files;
    return ["string", "number", "integer"].includes(items.type) ? KINDS.list : KINDS.json;
  }
  if (property.format === "base64") return KINDS.files;
  return property.type === "string" ? KINDS.text : KINDS.json;
}
