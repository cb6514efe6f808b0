/**
 * Zip files, as far as bundles and .npz files need them: members that are stored, and for arrays
 * deflated. Nothing here believes a size that the file does not have.
 */

import { joined } from "./bytes.js";

const END = 0x06054b50;
const CENTRAL = 0x02014b50;
const LOCAL = 0x04034b50;
const END_SIZE = 22;
const WIDE = 0xffffffff; // the size stands in the extra field of zip64
export const STORED = 0;
export const DEFLATED = 8;
/** The earliest time of a zip, 1980-01-01 00:00, as its date: the same files, the same bytes. */
const EPOCH = 0x21;

/**
 * The members of a zip: `name`, `method`, `size`, `mode` (of Unix, 0 where it says none),
 * `encrypted`, `crc` and `packed`, its bytes as they lie there. Throws Error that says what is
 * wrong with the file.
 * @param {Uint8Array} bytes
 */
export function readZip(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const end = findEnd(view);
  let count = view.getUint16(end + 10, true);
  let at = view.getUint32(end + 16, true);
  if ((count === 0xffff || at === WIDE) && end >= 20) {
    const record = wide(view, end - 20 + 8);
    count = wide(view, record + 32);
    at = wide(view, record + 48);
  }
  const members = [];
  for (let i = 0; i < count; i++) {
    const [member, next] = readMember(bytes, view, at);
    members.push(member);
    at = next;
  }
  return members;
}

function findEnd(view) {
  const least = Math.max(0, view.byteLength - END_SIZE - 0xffff);
  for (let at = view.byteLength - END_SIZE; at >= least; at--) {
    if (view.getUint32(at, true) === END) {
      return at;
    }
  }
  throw new Error("it is no zip: its end is missing");
}

function readMember(bytes, view, at) {
  if (at + 46 > view.byteLength || view.getUint32(at, true) !== CENTRAL) {
    throw new Error("its directory is damaged");
  }
  const short = (offset) => view.getUint16(at + offset, true);
  const long = (offset) => view.getUint32(at + offset, true);
  const [nameSize, extraSize, commentSize] = [short(28), short(30), short(32)];
  const extra = at + 46 + nameSize;
  const sizes = { size: long(24), packedSize: long(20), offset: long(42) };
  readWideSizes(view, extra, extraSize, sizes);
  const start = dataStart(view, sizes.offset);
  if (start + sizes.packedSize > view.byteLength) {
    throw new Error("a member reaches beyond its end");
  }
  const member = {
    name: new TextDecoder("utf-8", { fatal: true }).decode(bytes.subarray(at + 46, extra)),
    method: short(10),
    size: sizes.size,
    mode: short(40),
    encrypted: (short(8) & 1) === 1,
    crc: long(16),
    packed: bytes.subarray(start, start + sizes.packedSize),
  };
  return [member, extra + extraSize + commentSize];
}

/** Sizes above 4 GiB stand in the extra field 1, in this order. */
function readWideSizes(view, from, length, sizes) {
  for (let at = from; at + 4 <= from + length; at += 4 + view.getUint16(at + 2, true)) {
    if (view.getUint16(at, true) === 1) {
      let place = at + 4;
      for (const key of ["size", "packedSize", "offset"]) {
        if (sizes[key] === WIDE) {
          sizes[key] = wide(view, place);
          place += 8;
        }
      }
    }
  }
}

function dataStart(view, offset) {
  if (offset + 30 > view.byteLength || view.getUint32(offset, true) !== LOCAL) {
    throw new Error("a member is not where its directory says");
  }
  return offset + 30 + view.getUint16(offset + 26, true) + view.getUint16(offset + 28, true);
}

function wide(view, at) {
  return Number(view.getBigUint64(at, true));
}

/** The content of a member, its sum checked, of at most `most` bytes. Throws Error. */
export async function unpack({ name, method, size, crc, packed }, most) {
  if (size > most) {
    throw new Error(`it unpacks to ${size} bytes, more than the ${most} there may be`);
  }
  if (method !== STORED && method !== DEFLATED) {
    throw new Error(`'${name}' is compressed in a way that an .npz file is not`);
  }
  const content = method === STORED ? packed : await inflate(packed, size);
  if (content.length !== size || crc32(content) !== crc) {
    throw new Error(`'${name}' is damaged`);
  }
  return content;
}

async function inflate(packed, size) {
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  const content = new Uint8Array(size);
  let at = 0;
  const reader = stream.getReader();
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    if (at + part.value.length > size) {
      await reader.cancel();
      throw new Error("a member is larger than it says");
    }
    content.set(part.value, at);
    at += part.value.length;
  }
  return content.subarray(0, at);
}

/**
 * A zip of stored members, in the order given.
 * @param {Map<string, Uint8Array>} files names in ASCII
 */
export function writeZip(files) {
  const locals = [];
  const centrals = [];
  let offset = 0;
  for (const [name, content] of files) {
    const encoded = new TextEncoder().encode(name);
    const head = [20, 0, STORED, 0, EPOCH];
    const sums = [crc32(content), content.length, content.length];
    const local = fields(LOCAL, head, sums, [encoded.length, 0]);
    const rest = [encoded.length, 0, 0, 0, 0];
    const central = fields(CENTRAL, [20, ...head], sums, rest, [0, offset]);
    locals.push(local, encoded, content);
    centrals.push(central, encoded);
    offset += local.length + encoded.length + content.length;
  }
  const size = centrals.reduce((sum, part) => sum + part.length, 0);
  const end = fields(END, [0, 0, files.size, files.size], [size, offset], [0]);
  return joined([...locals, ...centrals, end]);
}

/** A record of a zip: its signature, then groups of 16-bit and of 32-bit fields in turn. */
function fields(signature, ...groups) {
  const parts = [[4, signature]];
  groups.forEach((group, place) => {
    parts.push(...group.map((value) => [place % 2 === 0 ? 2 : 4, value]));
  });
  const bytes = new Uint8Array(parts.reduce((sum, [size]) => sum + size, 0));
  const view = new DataView(bytes.buffer);
  let at = 0;
  for (const [size, value] of parts) {
    size === 2 ? view.setUint16(at, value, true) : view.setUint32(at, value, true);
    at += size;
  }
  return bytes;
}

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) {
    value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  }
  return value;
});

function crc32(bytes) {
  let sum = 0xffffffff;
  for (const byte of bytes) {
    sum = (sum >>> 8) ^ CRC_TABLE[(sum ^ byte) & 0xff];
  }
  return (sum ^ 0xffffffff) >>> 0;
}
