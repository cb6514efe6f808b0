/**
 * Read whole sequences in few calls, with rows that have nothing to read left out: a recurrent
 * operator would give a row of length 0 a zero state, and an empty batch ends the engine.
 */

import { copied, count, gathered, scatter, zeros } from "./arrays.js";

/** Columns of one call: bounds the memory that a long sequence takes. */
const SPAN = 512;

/**
 * Read x [batch, time, …] up to each row's length, span by span.
 *
 * Gives the state after it, a new Map, and calls `look` for every span: (outputs by name of the
 * rows that read, [n, span, …] or [n, …] where the graph gives the last step only; those rows;
 * where the span begins; how many columns of it each of them read). `state` stays as it was, so
 * that a failure on the way leaves the stream as it was.
 */
export async function readSpans(model, name, { x, lengths }, state, context, look) {
  const graph = model.manifest.graphs[name];
  const columns = Math.max(...lengths);
  for (let first = 0; first < columns; first += SPAN) {
    const wide = Math.min(SPAN, columns - first);
    const counts = lengths.map((length) => Math.min(Math.max(length - first, 0), wide));
    const rows = [...counts.keys()].filter((row) => counts[row] > 0);
    const inputs = [cut(x, rows, first, wide), lengthsOf(rows.map((row) => counts[row]))];
    const made = await model.call(name, inputs, pick(state, rows), pick(context, rows));
    const after = new Map();
    for (const [port, array] of state) {
      after.set(port, copied(array));
      scatter(after.get(port), rows, made.state.get(port));
    }
    state = after;
    look(
      made.outputs,
      rows,
      first,
      rows.map((row) => counts[row]),
      graph,
    );
  }
  return state;
}

/** Lengths as the engine reads them, int64 [n]. */
export function lengthsOf(lengths) {
  return { type: "int64", dims: [lengths.length], data: BigInt64Array.from(lengths, BigInt) };
}

function pick(arrays, rows) {
  return new Map([...arrays].map(([name, array]) => [name, gathered(array, rows)]));
}

/** Rows and columns of x [batch, time, …]: [n, wide, …]. */
function cut({ type, dims, data }, rows, first, wide) {
  const size = count(dims.slice(2));
  const made = zeros(type, [rows.length, wide, ...dims.slice(2)]);
  rows.forEach((row, place) => {
    const from = (row * dims[1] + first) * size;
    made.data.set(data.subarray(from, from + wide * size), place * wide * size);
  });
  return made;
}
