// ZIP archives without compression: PNG files are compressed already. Format: APPNOTE.TXT 6.3, without ZIP64.

const TABLE = Uint32Array.from({ length: 256 }, (_, index) => {
  let value = index;
  for (let bit = 0; bit < 8; bit += 1) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
  return value >>> 0;
});

function crc32(bytes) {
  let value = 0xffffffff;
  for (const byte of bytes) value = TABLE[(value ^ byte) & 0xff] ^ (value >>> 8);
  return (value ^ 0xffffffff) >>> 0;
}

/** Return a ZIP archive of files, by name as bytes. */
export function zip(files, at = new Date()) {
  const parts = [];
  const directory = [];
  let offset = 0;
  for (const [name, bytes] of files) {
    const encoded = new TextEncoder().encode(name);
    const fields = entryFields(bytes, encoded, at);
    const local = record(0x04034b50, [[2, 20], ...fields, [2, 0]], encoded);
    directory.push(record(0x02014b50, [[2, 20], [2, 20], ...fields, [2, 0], [2, 0], [2, 0], [2, 0], [4, 0], [4, offset]], encoded));
    parts.push(local, bytes);
    offset += local.length + bytes.length;
  }
  const size = directory.reduce((sum, entry) => sum + entry.length, 0);
  const end = record(0x06054b50, [[2, 0], [2, 0], [2, directory.length], [2, directory.length], [4, size], [4, offset], [2, 0]]);
  return new Blob([...parts, ...directory, end], { type: "application/zip" });
}

// Flag 0x800: names are UTF-8. Method 0: stored.
function entryFields(bytes, name, at) {
  const time = (at.getHours() << 11) | (at.getMinutes() << 5) | (at.getSeconds() >> 1);
  const date = ((at.getFullYear() - 1980) << 9) | ((at.getMonth() + 1) << 5) | at.getDate();
  return [[2, 0x800], [2, 0], [2, time], [2, date], [4, crc32(bytes)], [4, bytes.length], [4, bytes.length], [2, name.length]];
}

function record(signature, fields, tail = new Uint8Array()) {
  const size = 4 + fields.reduce((sum, [width]) => sum + width, 0);
  const bytes = new Uint8Array(size + tail.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, signature, true);
  let position = 4;
  for (const [width, value] of fields) {
    if (width === 2) view.setUint16(position, value, true);
    else view.setUint32(position, value, true);
    position += width;
  }
  bytes.set(tail, size);
  return bytes;
}
