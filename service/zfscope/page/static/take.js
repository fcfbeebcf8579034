// Take a view along: its pictures, tensors and numbers in one ZIP archive, and its calls as text.

import { analyze, call, post } from "./api.js";
import { asCommands, asCurl, asGrpcurl, asPython } from "./copy.js";
import { find, h, switcher } from "./dom.js";
import { notify, notifyError, dismiss } from "./notices.js";
import { fileNames, open } from "./photos.js";
import { subject } from "./subject.js";
import { zip } from "./zip.js";

/** Save the answers to the calls of a view, with their pictures and tensors, as a ZIP archive. */
export async function saveArchive(view, button) {
  const calls = view.calls();
  if (!calls.length) return notify("take", "There is nothing to save yet: bring a photo first.", "note");
  button.disabled = true;
  notify("take", "Collecting pictures and tensors…", "note");
  try {
    const photos = fileNames(calls);
    const files = [["address.txt", encode(`${location.href}\n`)], ["calls.sh", encode(`${asCommands(calls, photos)}\n`)], ["calls.py", encode(asPython(calls, photos))]];
    for (const [hash, name] of photos) files.push([name, await bytesOf((await open({ photo: hash })).blob)]);
    for (const [index, [path, body]] of calls.entries()) files.push(...(await collect(path, body, `${index + 1}-${path.replace("/", "-")}`)));
    download(zip(files), `${view.title().replace(/\W+/g, "-").replace(/^-|-$/g, "") || "zfscope"}.zip`);
    dismiss("take");
  } catch (error) {
    dismiss("take");
    notifyError("take", error);
  }
  button.disabled = false;
}

/** Return the files of one call; one that the service cannot answer is left out with its reason. */
async function collect(path, body, folder) {
  let answer;
  try {
    answer = path === "classify" ? await post(`v1/${path}`, body) : await analyze(`v1/${path}`, { ...body, pictures: true, tensors: true });
  } catch (error) {
    if (!error.reason) throw error;
    return [[`${folder}/error.txt`, encode(`${error.message}\n`)]];
  }
  const files = new Map();
  const links = [];
  const named = rewrite(answer, [], links);
  for (const { url, file } of links) files.set(`${folder}/${file}`, await bytesOf(await (await call(url)).blob()));
  const json = (name, content) => [`${folder}/${name}.json`, encode(`${JSON.stringify(content, null, 2)}\n`)];
  return [json("request", body), json("result", named), ...files];
}

/** Replace links by names of files in the archive. */
function rewrite(value, path, links) {
  if (Array.isArray(value)) return value.map((each, index) => rewrite(each, [...path, index], links));
  if (value === null || typeof value !== "object") return value;
  if (typeof value.url !== "string") return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, rewrite(each, [...path, key], links)]));
  const { url, ...others } = value;
  const file = value.name ? `${value.name}.png` : `${path.join("-")}.npy`;
  links.push({ url, file });
  return { ...others, file };
}

const encode = (text) => new TextEncoder().encode(text);
const bytesOf = async (blob) => new Uint8Array(await blob.arrayBuffer());

function download(blob, name) {
  const link = h("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

const LANGUAGES = [["python", "Python"], ["command", "Command line"], ["grpcurl", "grpcurl"], ["curl", "curl"]];
const TEXTS = {
  python: asPython, command: asCommands, grpcurl: asGrpcurl,
  curl: (calls, photos) => asCurl(calls, photos, document.baseURI, subject.session.token_required),
};

/** Show the calls of a view as text that can be copied. */
export function showCalls(view) {
  const calls = view.calls();
  const code = h("pre", { tabindex: "0", role: "region", "aria-label": "Calls" });
  const show = (language) => { code.textContent = calls.length ? TEXTS[language](calls, fileNames(calls)) : "There is nothing to copy yet: bring a photo first."; };
  const copied = h("span", { class: "note", role: "status" });
  const copy = h("button", { type: "button", class: "primary", onclick: async () => {
    try {
      await navigator.clipboard.writeText(code.textContent);
      copied.textContent = "Copied.";
    } catch {
      getSelection().selectAllChildren(code);
      copied.textContent = "Selected: press Ctrl+C.";
    }
  } }, "Copy");
  const dialog = h("dialog", { class: "calls", "aria-label": "Copy as", onclose: () => dialog.remove() },
    h("div", { class: "row" }, switcher("Language", LANGUAGES, "python", show), h("span", { class: "spacer" }), copied, copy,
      h("button", { type: "button", onclick: () => dialog.close() }, "Close")), code);
  show("python");
  find("body").append(dialog);
  dialog.showModal();
}
