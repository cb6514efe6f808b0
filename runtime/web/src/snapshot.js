/** What a stream carries at one moment, as a value: it can be kept, sent, and gone on from. */

import { copied, count } from "./arrays.js";
import { messageOf, StateError } from "./errors.js";
import { readNpz, writeNpz } from "./npz.js";

const FORMATS = ["treadle-snapshot/1", "treadle-snapshot/2"];
const TAKE_ANOTHER = "take a snapshot of a stream of this model";

/**
 * A snapshot, the same as Python's: `toBytes` there is read here, and the other way round. It holds
 * copies and hands out copies.
 */
export class Snapshot {
  #state;
  #context;
  #steps;

  /** `state` and `context`: Map name -> array [batch, …]; `steps`: made by each row. */
  constructor(digest, state, context, steps) {
    const own = (arrays) => new Map([...arrays].map(([name, array]) => [name, copied(array)]));
    this.digest = digest;
    this.#state = own(state);
    this.#context = own(context);
    this.#steps = [...steps];
    for (const [name, { dims }] of [...this.#state, ...this.#context]) {
      if (dims[0] !== this.batchSize) {
        throw new StateError(
          `'${name}' of a snapshot should have ${this.batchSize} rows, as steps has, got ` +
            `[${dims.join(", ")}]`,
        );
      }
    }
    Object.freeze(this);
  }

  get batchSize() {
    return this.#steps.length;
  }

  get steps() {
    return [...this.#steps];
  }

  get state() {
    return new Map([...this.#state].map(([name, array]) => [name, copied(array)]));
  }

  get context() {
    return new Map([...this.#context].map(([name, array]) => [name, copied(array)]));
  }

  /** The snapshot as an .npz file; the same bytes for the same values. */
  toBytes() {
    const steps = BigInt64Array.from(this.#steps, BigInt);
    const arrays = new Map([
      ["format", { type: "text", dims: [], data: FORMATS[0] }],
      ["digest", { type: "text", dims: [], data: this.digest }],
      ["steps", { type: "int64", dims: [steps.length], data: steps }],
    ]);
    this.#state.forEach((array, name) => arrays.set(`state/${name}`, array));
    this.#context.forEach((array, name) => arrays.set(`context/${name}`, array));
    return writeNpz(arrays);
  }

  /**
   * The snapshot in `bytes`. One with inputs is read without them. Rejects with StateError when it
   * is none, damaged, or a later one.
   */
  static async fromBytes(bytes) {
    let arrays;
    try {
      arrays = await readNpz(bytes);
    } catch (error) {
      throw notOne(bytes, messageOf(error));
    }
    const [format, digest, steps] = ["format", "digest", "steps"].map((name) => arrays.get(name));
    if (format?.type !== "text" || digest?.type !== "text" || steps?.dims.length !== 1) {
      throw notOne(bytes, "it lacks format, digest or steps");
    }
    if (!FORMATS.includes(format.data)) {
      throw new StateError(
        `the snapshot has the format '${format.data.slice(0, 60)}', expected ` +
          `${FORMATS.join(" or ")}; update treadle.js: npm install treadle@latest`,
      );
    }
    const part = (prefix) =>
      new Map(
        [...arrays]
          .filter(([name]) => name.startsWith(prefix))
          .map(([name, array]) => [name.slice(prefix.length), array]),
      );
    return new Snapshot(
      digest.data,
      part("state/"),
      part("context/"),
      Array.from(steps.data, Number),
    );
  }
}

function notOne(bytes, why) {
  return new StateError(
    `expected the bytes of a snapshot, got ${bytes?.length} bytes that are none, or damaged ` +
      `(${why}); take the snapshot again`,
  );
}

/** Throws StateError unless a stream of this model can go on from `snapshot`. */
export function checkSnapshot(snapshot, manifest) {
  if (!(snapshot instanceof Snapshot)) {
    throw new StateError("expected a Snapshot; read bytes with Snapshot.fromBytes");
  }
  if (snapshot.digest !== manifest.digest) {
    throw new StateError(
      `the snapshot is of a model with the digest ${snapshot.digest}, but this model, ` +
        `${manifest.name}, has ${manifest.digest}; ${TAKE_ANOTHER}`,
    );
  }
  const { state, context } = manifest.graphs.step;
  const ports = new Map(state.map((port) => [port.name, port]));
  checkArrays("state", snapshot.state, ports);
  checkArrays("context", snapshot.context, contextTensors(manifest));
  for (const { name, pad_multiple: multiple } of context) {
    const columns = snapshot.context.get(name).dims[1];
    if (multiple !== null && (columns === 0 || columns % multiple !== 0)) {
      throw new StateError(
        `the context '${name}' of the snapshot has ${columns} columns, expected a multiple of ` +
          `${multiple}; ${TAKE_ANOTHER}`,
      );
    }
  }
}

/** All that a stream keeps of what `encode` gave: Map name -> {dtype, shape}. */
export function contextTensors(manifest) {
  const { state, context } = manifest.graphs.step;
  const kept = new Map(context.map((tensor) => [tensor.name, tensor]));
  for (const { initial, dtype, shape } of state) {
    if (initial.output !== undefined) {
      kept.set(initial.output, { dtype, shape });
    }
  }
  return kept;
}

function checkArrays(part, arrays, expected) {
  const [names, found] = [[...expected.keys()].sort(), [...arrays.keys()].sort()];
  if (names.join() !== found.join()) {
    throw new StateError(
      `the ${part} of the snapshot should hold ${names.join(", ") || "nothing"}, got ` +
        `${found.join(", ") || "nothing"}; ${TAKE_ANOTHER}`,
    );
  }
  const sizes = new Map();
  for (const [name, { dtype, shape }] of expected) {
    const { type, dims, data } = arrays.get(name);
    const fits =
      type === dtype &&
      dims.length === shape.length &&
      data.length === count(dims) &&
      shape.every((size, axis) => dims[axis] === sizeOf(size, dims[axis], sizes));
    if (!fits) {
      throw new StateError(
        `the ${part} '${name}' of the snapshot should be ${dtype} [${shape.join(", ")}], got ` +
          `${type} [${dims.join(", ")}]; ${TAKE_ANOTHER}`,
      );
    }
    if (type === "float32" && !data.every(Number.isFinite)) {
      throw new StateError(
        `the ${part} '${name}' of the snapshot has a value that is not finite; a stream cannot ` +
          "go on from it: restore an earlier snapshot",
      );
    }
  }
}

/** A named axis has the size that it has first, everywhere. */
function sizeOf(size, found, sizes) {
  if (typeof size === "number") {
    return size;
  }
  if (!sizes.has(size)) {
    sizes.set(size, found);
  }
  return sizes.get(size);
}
