// The calls behind a view as text: Python, command line, grpcurl and curl. photos: names of files, by hash.

const METHODS = {
  classify: "classify", project: "project", occlude: "occlude", activations: "activations", "top-k": "top_k", evolve: "evolve",
};

/** Return the members of a call: model, version, files of photos, and parameters. */
function parts([path, body], names) {
  const { model, version, photo, photos, parameters, pictures, tensors, ...options } = body;
  return {
    path, name: path.replace(/^analyze\//, ""), model, version,
    files: (photos || (photo ? [photo] : [])).map((hash) => names.get(hash)),
    options: Object.fromEntries(Object.entries({ ...options, ...parameters }).filter(([, value]) => value !== undefined && value !== "")),
  };
}

/** Return Python code that makes the calls. */
export function asPython(calls, photos) {
  const used = new Map();
  const lines = calls.map((call) => {
    const name = parts(call, photos).name.replace(/\W/g, "_");
    used.set(name, (used.get(name) || 0) + 1);
    return pythonCall(call, photos, used.get(name) > 1 ? `${name}_${used.get(name)}` : name);
  });
  const classes = ["Box", "LocalClient", "Unit"].filter((name) => name === "LocalClient" || lines.some((line) => line.includes(`${name}(`)));
  return `from zfscope import ${classes.join(", ")}\n\nclient = LocalClient()\n${lines.join("\n")}\n`;
}

function pythonCall(call, photos, variable) {
  const { path, name, model, version, files, options } = parts(call, photos);
  const own = Object.entries(options);
  const first = files.map((file) => JSON.stringify(file));
  const about = [`model=${JSON.stringify(model)}`, `version=${version}`];
  if (path.startsWith("analyze/")) {
    return `${variable} = client.analyze(${[JSON.stringify(name), `[${first.join(", ")}]`, python(options), ...about].join(", ")})`;
  }
  const named = own.map(([key, value]) => `${key}=${special(key, value)}`);
  return `${variable} = client.${METHODS[name]}(${[...first, ...named, ...about].join(", ")})`;
}

function special(key, value) {
  if (key === "units") return `[${value.map(({ map, y, x }) => `Unit(${[map, y, x].filter((part) => part !== undefined).join(", ")})`).join(", ")}]`;
  if (key === "boxes") return `[${value.map(box).join(", ")}]`;
  return key === "box" ? box(value) : python(value);
}

const box = ({ x0, y0, x1, y1 }) => `Box(${[x0, y0, x1, y1].join(", ")})`;

function python(value) {
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (Array.isArray(value)) return `[${value.map(python).join(", ")}]`;
  if (typeof value === "object") return `{${Object.entries(value).map(([key, each]) => `${JSON.stringify(key)}: ${python(each)}`).join(", ")}}`;
  return JSON.stringify(value);
}

/** Return commands that make the calls. */
export function asCommands(calls, photos) {
  return calls.map((call) => {
    const { name, model, version, files, options } = parts(call, photos);
    const command = name === "classify" ? ["zfscope classify"] : [`zfscope analyze ${name}`];
    return [...command, ...files, ...Object.entries(options).flatMap(option), "--model", quoted(model), `--version ${version}`].join(" ");
  }).join("\n");
}

function option([key, value]) {
  const flag = `--${key.replaceAll("_", "-")}`;
  if (typeof value === "boolean") return [value ? flag : flag.replace("--", "--no-")];
  if (Array.isArray(value) && value.every((each) => typeof each !== "object")) return value.map((each) => `${flag} ${quoted(String(each))}`);
  return [`${flag} ${quoted(typeof value === "object" ? JSON.stringify(value) : String(value))}`];
}

const quoted = (text) => (/^[\w.:/-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

/** Return calls of grpcurl. */
export function asGrpcurl(calls, photos) {
  return calls.map((call) => {
    const { name, model, version, files, options } = parts(call, photos);
    const images = files.map((file) => `{"encoded": "$(base64 -w0 ${file})"}`);
    const about = `"model": ${here(model)}, "version": ${version}`;
    const [method, message] = name === "classify"
      ? ["ClassificationService/Classify", `{${about}, "image": ${images[0]}, "top": ${options.top || 5}}`]
      : ["AnalysisService/Analyze", `{${about}, "analyzer": ${here(name)}, "images": [${images.join(", ")}], "parameters": ${here(options)}}`];
    return `grpcurl -plaintext -d @ HOST:PORT zfscope.v1.${method} <<END\n${message}\nEND`;
  }).join("\n\n");
}

/** Return calls of curl to this page's service. token: whether it requires one. */
export function asCurl(calls, photos, page, token) {
  const header = token ? ['-H "Authorization: Bearer $TOKEN"'] : [];
  return calls.map((call) => {
    const { path, model, version, files, options } = parts(call, photos);
    const body = path.startsWith("analyze/") ? { model, version, parameters: options } : { model, version, ...options };
    const part = files.length > 1 || path.startsWith("analyze/") ? "photos" : "photo";
    const forms = files.map((file) => `-F ${part}=@${file}`);
    // -F would read a semicolon in the parameters as the start of a type.
    return `curl ${[...header, ...forms, `--form-string parameters=${quoted(JSON.stringify(body))}`].join(" ")} ${quoted(new URL(`v1/${path}`, page).href)}`;
  }).join("\n");
}

// In a here document the shell expands $ and backquotes, and reads backslashes before them.
const here = (value) => JSON.stringify(value).replaceAll("\\", "\\\\").replaceAll("$", "\\$").replaceAll("`", "\\`");
