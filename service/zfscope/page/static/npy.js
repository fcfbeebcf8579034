// NumPy's file format: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html

import { call } from "./api.js";

const TYPES = { "<f4": Float32Array, "|u1": Uint8Array, "<i8": BigInt64Array };

/** Return the shape and the values of an array in C order. */
export function readNpy(buffer) {
  const view = new DataView(buffer);
  if (view.getUint32(0) !== 0x934e554d) throw new Error("the tensor is not a .npy file");
  const [size, start] = view.getUint8(6) === 1 ? [view.getUint16(8, true), 10] : [view.getUint32(8, true), 12];
  const header = new TextDecoder("latin1").decode(new Uint8Array(buffer, start, size));
  const type = /'descr': *'([^']+)'/.exec(header)?.[1];
  const shape = /'shape': *\(([^)]*)\)/.exec(header)[1].split(",").map((text) => text.trim()).filter(Boolean).map(Number);
  if (!TYPES[type]) throw new Error(`tensors of type ${type} cannot be shown`);
  return { shape, values: new TYPES[type](buffer.slice(start + size)) };
}

/** Fetch a tensor of an answer, `{"url": ...}`. */
export async function fetchTensor(link, options) {
  return readNpy(await (await call(link.url, options)).arrayBuffer());
}
