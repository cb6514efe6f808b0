/**
 * Greedy and sampled search, one sequence a row, as in Python: the same symbols for the same logits
 * and seed. `beam.js` has beam search.
 *
 * What comes out is {ids, logProbability, score, finished}: ids leave out start and end, finished
 * is false when `maxLength` cut it off.
 */

import { logSoftmax, readLogits } from "./logits.js";

/**
 * Every row reads its own of `start` first, and stops at `end` (null: there is none), when `until`
 * is true of its ids, or after `maxLength` steps. `numbers` are those by which the rows draw. With
 * temperature 0 it is greedy search.
 */
export async function sampleSearch(
  stream,
  sampler,
  { start, end, maxLength, numbers, until = null },
) {
  const rows = start.map(() => ({ ids: [], total: 0, active: true }));
  let tokens = start;
  for (let step = 0; step < maxLength; step++) {
    const logits = readLogits(await stream.step(tokens), step);
    tokens = logits.map((row, at) => sampler.draw(row, numbers[at], step, rows[at].ids));
    rows.forEach((row, at) => {
      if (row.active) {
        extend(row, tokens[at], logSoftmax(logits[at])[tokens[at]], end, until);
      }
    });
    if (!rows.some((row) => row.active)) {
      break;
    }
  }
  return rows.map(({ ids, total, active }) => ({
    ids,
    logProbability: total,
    score: total,
    finished: !active,
  }));
}

function extend(row, token, logProbability, end, until) {
  row.total += logProbability;
  if (token === end) {
    row.active = false;
    return;
  }
  row.ids.push(token);
  row.active = !until?.(row.ids);
}
