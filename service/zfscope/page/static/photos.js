// Photos of this page: brought by people, kept by the service in memory, known by the hash of their bytes.

import { call, getJson, post, ServiceError } from "./api.js";
import { subject } from "./subject.js";

const known = new Map();

/** Keys of an address that name no photo. */
export const NO_PHOTO = { photo: "", sample: "", indexed: "" };

/** Return the keys of an address that name a photo: its hash, and where anybody can get it again. */
export const addressOf = ({ hash, sample, indexed }) => ({ photo: hash, sample, indexed });

/** Upload a photo. Return `{hash, name, sample, indexed, width, height, blob, src}`. */
export async function upload(blob, { name = "photo", sample = "" } = {}) {
  const most = subject.session?.max_photo_bytes;
  if (most && blob.size > most) {
    const bytes = (count) => count.toLocaleString("en");
    throw new ServiceError({ reason: "TOO_LARGE", message: `the photo has ${bytes(blob.size)} bytes; allowed: at most ${bytes(most)}. Save it smaller and try again` });
  }
  return keep(await send(blob), blob, { name, sample });
}

/** Keep a photo that the service has in memory. */
function keep(info, blob, { name, sample = "", indexed = "" }) {
  const photo = known.get(info.photo) || { hash: info.photo, src: URL.createObjectURL(blob), blob, width: info.width, height: info.height };
  Object.assign(photo, { name: photo.name || name, sample: sample || photo.sample || "", indexed: indexed || photo.indexed || "" });
  known.set(photo.hash, photo);
  return photo;
}

async function send(blob) {
  const response = await call("v1/photos", { method: "POST", body: blob, headers: { "Content-Type": "application/octet-stream" } });
  return response.json();
}

/** Return the photo of an address: one that this page has, a sample, one of an index, or one that the service still has. */
export async function open({ photo: hash, sample, indexed }) {
  if (known.has(hash)) return known.get(hash);
  if (sample && (!hash || (await samples()).some((listed) => listed.name === sample))) return openSample(sample);
  try {
    return await (indexed ? openIndexed(indexed) : openStored(hash, sample));
  } catch (error) {
    if (indexed && hash) return openStored(hash).catch(() => { throw error; });
    if (indexed || error.reason !== "NOT_FOUND") throw error;
    throw new ServiceError({ reason: "NOT_FOUND", field: "photo", message: "this photo is no longer in the server's memory, where photos are kept for a while only; drop it here again" });
  }
}

const blobOf = async (hash) => (await call(`v1/photos/${encodeURIComponent(hash)}`)).blob();

const openStored = async (hash, sample) => upload(await blobOf(hash), { name: sample || "photo", sample });

/** Return how addresses name a photo of an index: by model, version, index and the hash that the index has of its file. */
export const indexedName = ({ model, version, index }, record) => [model, version, index, record.blake2b].join("/");

/** Open a photo of an index by its name in an address. */
export async function openIndexed(indexed) {
  const [model, version, index, blake2b = ""] = indexed.split("/");
  const info = await post("v1/photos/indexed", { model, version: Number(version), index, blake2b });
  return keep(info, await blobOf(info.photo), { name: info.path, indexed });
}

/** Return the sample photos: names and addresses. */
export async function samples() {
  return (await getJson("v1/samples")).samples;
}

/** Open a sample photo by its name. */
export async function openSample(name) {
  const listed = (await samples()).find((sample) => sample.name === name);
  if (!listed) throw new ServiceError({ reason: "NOT_FOUND", message: `sample '${name}' not found; choose another photo` });
  return upload(await (await call(listed.url)).blob(), { name, sample: name });
}

/** Return file names for the photos of calls, by hash: `photo.png`, or `photo1.png` and so on if there are several. */
export function fileNames(calls) {
  const hashes = new Set(calls.flatMap(([, { photo, photos = [] }]) => [photo, ...photos]).filter(Boolean));
  return new Map([...hashes].map((hash, index) => [hash, `photo${hashes.size > 1 ? index + 1 : ""}${suffix(known.get(hash))}`]));
}

function suffix(photo) {
  const given = /\.\w{2,5}$/.exec(photo?.name || "");
  return given ? given[0] : { "image/jpeg": ".jpg", "image/png": ".png" }[photo?.blob.type] || "";
}

/** Upload again the photos of a request whose service lost them; return whether there was one. */
export async function restore(body) {
  const lost = [...known.values()].filter((photo) => body.includes(photo.hash));
  for (const photo of lost) await send(photo.blob);
  return lost.length > 0;
}
