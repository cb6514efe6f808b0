/** What every search reads of a step, and log-probabilities of it. */

import { StateError } from "./errors.js";

/**
 * The logits of each row among a step's outputs: a list of Float32Array [V]. Throws StateError
 * when one is not finite: a search over NaN would return some symbol as if nothing had happened.
 */
export function readLogits(outputs, step) {
  const { dims, data } = outputs.logits ?? Object.values(outputs)[0];
  const rows = Array.from({ length: dims[0] }, (_, row) =>
    data.subarray(row * dims[1], (row + 1) * dims[1]),
  );
  rows.forEach((logits, row) => {
    if (!logits.every(Number.isFinite)) {
      throw new StateError(
        `expected finite logits, got NaN or infinity in row ${row} at step ${step}: the state or ` +
          "the weights are damaged; reset the stream, and run `treadle verify` on the bundle",
      );
    }
  });
  return rows;
}

/** Log-probabilities in float64, from logits [V]. */
export function logSoftmax(logits) {
  const largest = logits.reduce((most, one) => Math.max(most, one), -Infinity);
  const shifted = Float64Array.from(logits, (one) => one - largest);
  const log = Math.log(shifted.reduce((sum, one) => sum + Math.exp(one), 0));
  return shifted.map((one) => one - log);
}
