/**
 * The weights that lie in the body of a loop, put into the graph's own file.
 *
 * onnxruntime-web (1.30) finds external data that it is given for the main graph only; a body's it
 * looks for in a file system, which there is none of. So an ONNX file is read as far as that needs
 * (protocol buffers: fields of a number, a kind and a length), and those tensors are rewritten.
 */

import { joined } from "./bytes.js";
import { BundleError } from "./errors.js";
import { GOLDEN_FILE } from "./manifest.js";

// Kind of message -> number of a field -> the kind of message in it; onnx.proto numbers them so.
const PARTS = {
  model: { 7: "graph" },
  graph: { 1: "node", 5: "tensor" },
  node: { 5: "attribute" },
  attribute: { 6: "graph", 11: "graph" },
};
const [RAW, EXTERNAL, ELSEWHERE] = [9, 13, 14]; // fields of a tensor
const [KEY, VALUE] = [1, 2]; // of an entry of external data
const [VARINT, WIDE, BYTES, NARROW] = [0, 1, 2, 5]; // kinds of field

/** The file of a graph as the engine can open it; the same bytes where nothing has to move. */
export function withLoopWeights(bundle, file) {
  const bytes = bundle.read(file);
  if (file.endsWith(".ort")) {
    return bytes; // another format, with its weights inside
  }
  try {
    return rewritten(bytes, "model", false, bundle);
  } catch (error) {
    throw error instanceof RangeError
      ? new BundleError(`${bundle.shown}/${file} is no ONNX file, or damaged; export it again`)
      : error;
  }
}

function rewritten(bytes, kind, inBody, bundle) {
  if (kind === "tensor") {
    return inBody ? whole(bytes, bundle) : bytes;
  }
  const parts = [];
  let changed = false;
  for (const { number, type, start, from, end } of fields(bytes)) {
    const inner = type === BYTES ? PARTS[kind][number] : undefined;
    if (inner === undefined) {
      parts.push(bytes.subarray(start, end));
      continue;
    }
    const before = bytes.subarray(from, end);
    const after = rewritten(before, inner, inBody || kind === "attribute", bundle);
    changed ||= after !== before;
    parts.push(...(after === before ? [bytes.subarray(start, end)] : field(number, after)));
  }
  return changed ? joined(parts) : bytes;
}

/** A tensor with its numbers in itself. */
function whole(bytes, bundle) {
  const kept = [];
  const place = {};
  for (const { number, start, from, end } of fields(bytes)) {
    if (number === EXTERNAL) {
      const entry = Object.fromEntries(
        [...fields(bytes.subarray(from, end))].map((one) => [
          one.number,
          new TextDecoder().decode(bytes.subarray(from + one.from, from + one.end)),
        ]),
      );
      place[entry[KEY]] = entry[VALUE];
    } else if (number !== ELSEWHERE) {
      kept.push(bytes.subarray(start, end));
    }
  }
  return place.location === undefined
    ? bytes
    : joined([...kept, ...field(RAW, read(place, bundle))]);
}

function read({ location, offset = "0", length }, bundle) {
  const content = location === GOLDEN_FILE ? new Uint8Array() : bundle.read(location);
  const [first, count] = [Number(offset), Number(length ?? content.length - Number(offset))];
  if (!(first >= 0 && count >= 0 && first + count <= content.length)) {
    throw new BundleError(
      `a graph of ${bundle.shown} has its weights at ${offset} in '${location}', where there are ` +
        "none; do not use this bundle, or export it again",
    );
  }
  return content.subarray(first, first + count);
}

/** The fields of a message: number, type, where each starts, where its value is. */
function* fields(bytes) {
  for (let at = 0; at < bytes.length;) {
    const start = at;
    const [key, from] = varint(bytes, at);
    const type = key % 8;
    let [value, end] = [from, from];
    if (type === BYTES) {
      const [size, begin] = varint(bytes, from);
      [value, end] = [begin, begin + size];
    } else if (type === VARINT) {
      [, end] = varint(bytes, from);
    } else if (type === WIDE || type === NARROW) {
      end = from + (type === WIDE ? 8 : 4);
    } else {
      throw new RangeError("no kind of field");
    }
    if (end > bytes.length) {
      throw new RangeError("a field beyond the end");
    }
    yield { number: Math.floor(key / 8), type, start, from: value, end };
    at = end;
  }
}

/** A number of 7 bits a byte, the least first, and the place behind it. */
function varint(bytes, at) {
  let value = 0;
  for (let place = 0; place < 10 && at < bytes.length; place++, at++) {
    value += (bytes[at] & 0x7f) * 2 ** (7 * place);
    if (bytes[at] < 0x80) {
      return [value, at + 1];
    }
  }
  throw new RangeError("a number without an end");
}

function field(number, content) {
  return [asVarint(8 * number + BYTES), asVarint(content.length), content];
}

function asVarint(value) {
  const bytes = [];
  while (value >= 0x80) {
    bytes.push((value % 0x80) + 0x80);
    value = Math.floor(value / 0x80);
  }
  return Uint8Array.from([...bytes, value]);
}
