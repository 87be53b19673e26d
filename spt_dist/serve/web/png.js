// Parsing maps as PNG files: read and written byte for byte, since a canvas knows colours and no labels.

/** @typedef {{labels: Uint8Array, size: [number, number]}} LabelMap labels row by row; size is height, width */

const SIGNATURE = [137, 80, 78, 71, 13, 10, 26, 10];
const GREY = 0;
const PALETTE = 3;

const CRC = Uint32Array.from({ length: 256 }, (_, value) => {
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
  return value;
});

async function through(bytes, stream) {
  const piped = new Blob([bytes]).stream().pipeThrough(stream);
  return new Uint8Array(await new Response(piped).arrayBuffer());
}

/** The map in a PNG of one channel or with a palette, whose indices are the labels. @param {Blob} file @returns {Promise<LabelMap>} */
export async function readMap(file, name = "The parsing map") {
  const bytes = new Uint8Array(await file.arrayBuffer());
  if (SIGNATURE.some((byte, at) => bytes[at] !== byte)) throw new Error(`${name} is no PNG file.`);
  const view = new DataView(bytes.buffer);
  const parts = [];
  let [width, height, depth, colour, woven] = [0, 0, 0, 0, 0];
  for (let at = 8; at + 8 <= bytes.length; ) {
    const length = view.getUint32(at);
    const type = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    const start = at + 8;
    if (type === "IHDR") {
      [width, height] = [view.getUint32(start), view.getUint32(start + 4)];
      [depth, colour, woven] = [bytes[start + 8], bytes[start + 9], bytes[start + 12]];
    }
    if (type === "IDAT") parts.push(bytes.subarray(start, start + length));
    at = start + length + 4;
  }
  if (!(colour === GREY && depth === 8) && !(colour === PALETTE && depth <= 8)) {
    throw new Error(`${name} is no map of labels; it should be a PNG of one channel of 8 bits, or with a palette.`);
  }
  if (woven) throw new Error(`${name} is interlaced; save it without.`);
  let raw;
  try {
    raw = await through(new Blob(parts), new DecompressionStream("deflate"));
  } catch {
    throw new Error(`${name} is damaged or cut off.`);
  }
  const stride = Math.ceil((width * depth) / 8);
  if (raw.length < (stride + 1) * height) throw new Error(`${name} is damaged or cut off.`);
  return { labels: unpacked(unfiltered(raw, stride, height), width, height, depth), size: [height, width] };
}

/** Rows without the filters by which PNG predicts bytes from their neighbours: left, above, and above left. */
function unfiltered(raw, stride, height) {
  const rows = new Uint8Array(stride * height);
  for (let y = 0; y < height; y++) {
    const filter = raw[y * (stride + 1)];
    for (let x = 0; x < stride; x++) {
      const at = y * stride + x;
      const left = x ? rows[at - 1] : 0;
      const above = y ? rows[at - stride] : 0;
      const corner = x && y ? rows[at - stride - 1] : 0;
      const guess = [0, left, above, (left + above) >> 1, paeth(left, above, corner)][filter];
      rows[at] = raw[y * (stride + 1) + 1 + x] + guess;
    }
  }
  return rows;
}

function paeth(left, above, corner) {
  const [toLeft, toAbove, toCorner] = [left, above, corner].map((byte) => Math.abs(left + above - corner - byte));
  if (toLeft <= toAbove && toLeft <= toCorner) return left;
  return toAbove <= toCorner ? above : corner;
}

function unpacked(rows, width, height, depth) {
  if (depth === 8) return rows;
  const stride = rows.length / height;
  return Uint8Array.from({ length: width * height }, (_, at) => {
    const [x, y] = [at % width, Math.floor(at / width)];
    const bit = x * depth;
    return (rows[y * stride + (bit >> 3)] >> (8 - depth - (bit & 7))) & ((1 << depth) - 1);
  });
}

/** A PNG of one channel, as the interface and the commands read maps. @param {LabelMap} map @returns {Promise<Blob>} */
export async function writeMap({ labels, size: [height, width] }) {
  const raw = new Uint8Array((width + 1) * height); // filter 0 in front of each row
  for (let y = 0; y < height; y++) raw.set(labels.subarray(y * width, (y + 1) * width), y * (width + 1) + 1);
  const header = new Uint8Array(13);
  const view = new DataView(header.buffer);
  view.setUint32(0, width);
  view.setUint32(4, height);
  header.set([8, GREY, 0, 0, 0], 8);
  const packed = await through(raw, new CompressionStream("deflate"));
  const chunks = [chunk("IHDR", header), chunk("IDAT", packed), chunk("IEND", new Uint8Array())];
  return new Blob([Uint8Array.from(SIGNATURE), ...chunks], { type: "image/png" });
}

function chunk(type, content) {
  const bytes = new Uint8Array(content.length + 12);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, content.length);
  bytes.set([...type].map((letter) => letter.charCodeAt(0)), 4);
  bytes.set(content, 8);
  let sum = 0xffffffff;
  for (const byte of bytes.subarray(4, -4)) sum = CRC[(sum ^ byte) & 255] ^ (sum >>> 8);
  view.setUint32(bytes.length - 4, ~sum >>> 0);
  return bytes;
}
