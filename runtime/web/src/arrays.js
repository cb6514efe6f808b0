/**
 * Arrays {type, dims, data}, as the engine's tensors are, and the check of every one before the
 * engine sees it: bad input never reaches it.
 */

import { InputError } from "./errors.js";

const STORES = { float32: Float32Array, int64: BigInt64Array, bool: Uint8Array };

export const count = (dims) => dims.reduce((product, size) => product * size, 1);

export function zeros(type, dims) {
  return { type, dims, data: new STORES[type](count(dims)) };
}

/** A copy, so that whoever holds one cannot change the other. */
export function copied({ type, dims, data }) {
  return { type, dims: [...dims], data: data.slice() };
}

/** Row i of the result is row rows[i] of the array. */
export function gathered({ type, dims, data }, rows) {
  const made = zeros(type, [rows.length, ...dims.slice(1)]);
  const size = count(dims.slice(1));
  rows.forEach((row, place) => {
    made.data.set(data.subarray(row * size, (row + 1) * size), place * size);
  });
  return made;
}

/** Write the rows of `from` at the places `rows` of an array of the same row size. */
export function scatter(to, rows, from) {
  const size = count(to.dims.slice(1));
  rows.forEach((row, place) => {
    to.data.set(from.data.subarray(place * size, (place + 1) * size), row * size);
  });
}

/** What a graph reads at each step: ids in [0, symbols), or finite numbers. */
export class Reading {
  /**
   * @param {{name: string, dtype: string, shape: (string | number)[]}} tensor
   * @param {number | null} symbols how many the vocabulary has; null: no vocabulary
   */
  constructor(tensor, symbols) {
    this.name = tensor.name;
    this.type = tensor.dtype;
    /** Shape of one row of one step: [] for an id, else of a feature vector. */
    this.features = tensor.shape.filter((size) => typeof size === "number");
    this.symbols = tensor.dtype === "int64" ? symbols : null;
  }

  /**
   * Fill `data` with one step of all rows. `x`: an id, or a list of ids [batch]; or numbers
   * [batch, features], nested or flat. Throws InputError, and may then have written some of it.
   */
  step(x, batchSize, data) {
    const size = count(this.features);
    const values = this.#flat(typeof x === "object" ? x : [x]);
    if (values.length !== batchSize * size) {
      const expected = [batchSize, ...this.features].join(", ");
      throw new InputError(
        `${this.name} should be ${this.type} [${expected}], got ${values.length} values; ` +
          "step() reads one time step of every row, feed() and unroll() read whole sequences",
      );
    }
    this.#fill(data, 0, values, [size]);
  }

  /**
   * Sequences as one padded array [batch, time, …] and the length of each row. `x`: a list with a
   * list of steps for each row. `lengths` may cut rows. Throws InputError.
   */
  sequences(x, lengths, axis, { least, batchSize = null }) {
    const rows = this.#rows(x, batchSize);
    const size = count(this.features);
    const flat = rows.map((row) => this.#flat(row));
    flat.forEach((row, place) => {
      if (row.length % size) {
        throw new InputError(
          `${this.name} should be ${this.type} [batch, ${[axis, ...this.features].join(", ")}], ` +
            `got ${row.length} values in row ${place}, not a multiple of ${size}`,
        );
      }
    });
    const whole = flat.map((row) => row.length / size);
    const counts = this.#lengths(lengths, whole, axis, least);
    const columns = Math.max(...counts);
    const padded = zeros(this.type, [rows.length, columns, ...this.features]);
    flat.forEach((row, place) => {
      const values = row.slice(0, counts[place] * size);
      this.#fill(padded.data, place * columns * size, values, [place, size]);
    });
    return { x: padded, lengths: counts };
  }

  #rows(x, batchSize) {
    const rows = Array.isArray(x) ? x : [];
    if (rows.length === 0 || rows.some((row) => typeof row !== "object" || row === null)) {
      throw new InputError(
        `${this.name} should be a list of rows, each a list of its own; leave out empty batches`,
      );
    }
    if (batchSize !== null && rows.length !== batchSize) {
      throw new InputError(
        `${this.name} should have ${batchSize} rows, got ${rows.length}; ` +
          "open a stream of the batch size you have",
      );
    }
    return rows;
  }

  #lengths(lengths, whole, axis, least) {
    const counts = lengths === null ? whole : Array.from(lengths, Number);
    if (counts.length !== whole.length) {
      throw new InputError(
        `lengths should be [${whole.length}], one for each row, got ${counts.length}`,
      );
    }
    counts.forEach((length, row) => {
      if (!(Number.isInteger(length) && length >= least && length <= whole[row])) {
        throw new InputError(
          `the length of row ${row} should be in ${least}..${whole[row]}, the ${axis} axis, ` +
            `got ${length}`,
        );
      }
    });
    return counts;
  }

  #flat(values) {
    if (ArrayBuffer.isView(values)) {
      return values;
    }
    if (!Array.isArray(values)) {
      throw new InputError(`${this.name} should be a list of ${this.type}, got ${typeof values}`);
    }
    return values.some((one) => typeof one === "object")
      ? values.flatMap((one) => [...one])
      : values;
  }

  /** `where`: what stands before the place of a value in a message. */
  #fill(data, offset, values, where) {
    const [size] = where.slice(-1);
    for (let i = 0; i < values.length; i++) {
      const value = Number(values[i]);
      const fits = this.#accepts(value);
      if (!fits) {
        const inner = this.features.length ? [Math.floor(i / size), i % size] : [i];
        throw new InputError(
          `${this.name} should hold ${this.#expected()}, got ${values[i]} at ` +
            `[${[...where.slice(0, -1), ...inner].join(", ")}]; leave it out or replace it`,
        );
      }
      data[offset + i] = this.type === "int64" ? BigInt(value) : value;
    }
  }

  #accepts(value) {
    if (this.type !== "int64") {
      return Number.isFinite(Math.fround(value));
    }
    return (
      Number.isSafeInteger(value) && (this.symbols === null || (value >= 0 && value < this.symbols))
    );
  }

  #expected() {
    if (this.type !== "int64") {
      return "finite numbers";
    }
    return this.symbols === null ? "integers" : `ids in 0..${this.symbols - 1}`;
  }
}

/** Indices of rows. Throws InputError for rows that are not there. */
export function checkRows(rows, batchSize) {
  const chosen = Array.from(rows, Number);
  if (chosen.some((row) => !(Number.isInteger(row) && row >= 0 && row < batchSize))) {
    throw new InputError(`rows should be in 0..${batchSize - 1}, got ${chosen.join(", ")}`);
  }
  return chosen;
}
