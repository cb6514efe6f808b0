/**
 * Arrays in NumPy's .npz files: golden traces, first states, snapshots.
 *
 * An array is {type, dims, data}: "float32", "int64" (BigInt64Array) or "bool" (Uint8Array), or a
 * text {type: "text", dims: [], data: string}. int32 is read as int64, as Python's traces are.
 */

import { readZip, unpack, writeZip } from "./zip.js";

const MAGIC = "\x93NUMPY";
/** Bytes that a compressed file may become: a few of them can stand for any number. */
const LARGEST = 2 ** 28;

/** The arrays in the bytes of an .npz file, by name. Rejects with Error for anything else. */
export async function readNpz(bytes) {
  const arrays = new Map();
  let room = Math.max(LARGEST, bytes.length);
  for (const member of readZip(bytes)) {
    const content = await unpack(member, room);
    room -= content.length;
    arrays.set(member.name.replace(/\.npy$/, ""), readNpy(content, member.name));
  }
  return arrays;
}

/**
 * The bytes of an .npz file that NumPy reads; the same for the same arrays.
 * @param {Map<string, {type: string, dims: number[], data: any}>} arrays
 */
export function writeNpz(arrays) {
  const names = [...arrays.keys()].sort();
  return writeZip(new Map(names.map((name) => [`${name}.npy`, writeNpy(arrays.get(name))])));
}

function readNpy(bytes, name) {
  const head = latin(bytes.subarray(0, 6));
  const size = bytes.length > 10 ? bytes[8] | (bytes[9] << 8) : 0;
  const header = latin(bytes.subarray(10, 10 + size));
  const found =
    /^\{'descr': '([^']*)', 'fortran_order': (True|False), 'shape': \(([\d, ]*)\),? *\}\s*$/.exec(
      header,
    );
  if (head !== MAGIC || bytes[6] !== 1 || found === null) {
    throw new Error(`'${name}' is no array in NumPy's format 1.0`);
  }
  const dims = found[3]
    .split(",")
    .filter((one) => one.trim())
    .map(Number);
  // A copy, so that it is aligned; Node's Buffer has a slice that is none.
  const content = new Uint8Array(bytes.subarray(10 + size));
  const array = decoded(found[1], content.buffer, dims);
  const count = dims.reduce((product, dim) => product * dim, 1);
  if (array === null || (array.type !== "text" && array.data.length !== count)) {
    throw new Error(`'${name}' should hold ${count} values of a known type, got ${found[1]}`);
  }
  return found[2] === "True" ? rowsFirst(array) : array;
}

/** An array that was written column by column, as one that was written row by row. */
function rowsFirst({ type, dims, data }) {
  const made = data.slice();
  for (let place = 0; place < data.length; place++) {
    let rest = place;
    let from = 0;
    let stride = data.length;
    for (const size of [...dims].reverse()) {
      stride /= size;
      from += (rest % size) * stride;
      rest = Math.floor(rest / size);
    }
    made[place] = data[from];
  }
  return { type, dims, data: made };
}

function decoded(descr, buffer, dims) {
  const whole = (size) => buffer.byteLength % size === 0;
  if (descr === "<f4" && whole(4)) {
    return { type: "float32", dims, data: new Float32Array(buffer) };
  }
  if (descr === "<i8" && whole(8)) {
    return { type: "int64", dims, data: new BigInt64Array(buffer) };
  }
  if (descr === "<i4" && whole(4)) {
    return { type: "int64", dims, data: BigInt64Array.from(new Int32Array(buffer), BigInt) };
  }
  if (descr === "|b1") {
    return { type: "bool", dims, data: new Uint8Array(buffer) };
  }
  if (/^<U\d+$/.test(descr) && dims.length === 0 && whole(4)) {
    const units = [...new Uint32Array(buffer)].filter((unit) => unit > 0);
    return { type: "text", dims, data: String.fromCodePoint(...units) };
  }
  return null;
}

function writeNpy({ type, dims, data }) {
  const [descr, content] = encoded(type, data);
  const shape = dims.length === 1 ? `(${dims[0]},)` : `(${dims.join(", ")})`;
  const text = `{'descr': '${descr}', 'fortran_order': False, 'shape': ${shape}, }`;
  const padding = " ".repeat(63 - ((10 + text.length) % 64));
  const header = Uint8Array.from(`${text}${padding}\n`, (sign) => sign.charCodeAt(0));
  const start = Uint8Array.from(MAGIC, (sign) => sign.charCodeAt(0));
  const bytes = new Uint8Array(10 + header.length + content.byteLength);
  bytes.set(start);
  bytes.set([1, 0, header.length & 0xff, header.length >> 8], 6);
  bytes.set(header, 10);
  bytes.set(content, 10 + header.length);
  return bytes;
}

function encoded(type, data) {
  if (type === "text") {
    const points = Uint32Array.from(Array.from(data, (sign) => sign.codePointAt(0)));
    // NumPy has no text of no characters.
    return [
      `<U${Math.max(1, points.length)}`,
      bytesOf(points.length ? points : new Uint32Array(1)),
    ];
  }
  return [{ float32: "<f4", int64: "<i8", bool: "|b1" }[type], bytesOf(data)];
}

function bytesOf(data) {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

function latin(bytes) {
  return String.fromCharCode(...bytes);
}
