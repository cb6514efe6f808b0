/** Drawing the next symbol: which are kept, how likely, and one inverse CDF, as in Python. */

import { InputError } from "./errors.js";
import { uniform } from "./philox.js";

const LARGEST_SEED = 2n ** 64n - 1n;

/**
 * How symbols are drawn; throws InputError for values that make no sense. In this order:
 *
 * repetitionPenalty: positive logits of symbols that were made already are divided by it, negative
 * ones multiplied; 1 is off. temperature: divides the logits; 0 always takes the most likely
 * symbol. topK: keep only the k most likely symbols. topP: of those, the fewest that hold at least
 * this share of their probability; of equally likely ones the lower id counts as more likely.
 * minP: of those, the symbols at least this many times as probable as the most likely one.
 * seed: number or bigint, from 0 to 2**64 - 1.
 */
export class Sampler {
  constructor(options = {}) {
    const { temperature = 1, topK = null, topP = null, minP = null } = options;
    const { repetitionPenalty = 1, seed = 0 } = options;
    const within = (value, least, most) => value >= least && value <= most;
    need(
      Number.isFinite(temperature) && temperature >= 0,
      "temperature should be 0 or more",
      temperature,
    );
    need(topK === null || (Number.isInteger(topK) && topK >= 1), "topK should be at least 1", topK);
    need(topP === null || (topP > 0 && topP <= 1), "topP should be above 0 and at most 1", topP);
    need(minP === null || within(minP, 0, 1), "minP should be from 0 to 1", minP);
    need(
      Number.isFinite(repetitionPenalty) && repetitionPenalty > 0,
      "repetitionPenalty should be above 0, and 1 is off",
      repetitionPenalty,
    );
    const whole = typeof seed === "bigint" || Number.isSafeInteger(seed);
    need(
      whole && within(BigInt(seed), 0n, LARGEST_SEED),
      "seed should be from 0 to 2**64 - 1",
      seed,
    );
    Object.assign(this, { temperature, topK, topP, minP, repetitionPenalty, seed: BigInt(seed) });
    Object.freeze(this);
  }

  /** Whether this always takes the most likely symbol of the model as it is. */
  get isGreedy() {
    const { temperature, topK, topP, minP, repetitionPenalty } = this;
    return (
      temperature === 0 &&
      topK === null &&
      topP === null &&
      minP === null &&
      repetitionPenalty === 1
    );
  }

  /**
   * One id from the finite logits of a row.
   * @param {ArrayLike<number>} logits [V]
   * @param {number} row by which it draws, whatever the batch
   * @param {number} step how many symbols it has made
   * @param {Iterable<number>} made their ids, for the penalty
   */
  draw(logits, row, step, made = []) {
    const candidates = this.#penalized(logits, made);
    if (this.temperature === 0) {
      return argmax(candidates);
    }
    const cumulative = this.weights(candidates);
    for (let id = 1; id < cumulative.length; id++) {
      cumulative[id] += cumulative[id - 1];
    }
    const target = uniform(this.seed, row, step) * cumulative.at(-1);
    // The first id, in id order, whose cumulative weight exceeds the target.
    return Math.max(
      0,
      cumulative.findIndex((weight) => weight > target),
    );
  }

  #penalized(logits, made) {
    const candidates = Float64Array.from(logits);
    if (this.repetitionPenalty !== 1) {
      for (const id of new Set(made)) {
        const value = candidates[id];
        const penalized =
          value > 0 ? value / this.repetitionPenalty : value * this.repetitionPenalty;
        // An extreme penalty overflows, and a softmax over infinities would be NaN.
        candidates[id] = Math.min(Math.max(penalized, -1e300), 1e300);
      }
    }
    return candidates;
  }

  /** Softmax in float64, 0 for symbols that are left out; not rescaled. */
  weights(logits) {
    const largest = logits[argmax(logits)];
    const weights = Float64Array.from(logits, (one) =>
      Math.exp((one - largest) / this.temperature),
    );
    const sum = weights.reduce((total, weight) => total + weight, 0);
    weights.forEach((weight, id) => {
      weights[id] = weight / sum;
    });
    if (this.topK !== null || this.topP !== null) {
      this.#truncate(weights);
    }
    if (this.minP !== null) {
      const least = this.minP * weights[argmax(weights)];
      weights.forEach((weight, id) => {
        weights[id] = weight < least ? 0 : weight;
      });
    }
    return weights;
  }

  /** Leave out what topK and then topP do not keep. */
  #truncate(weights) {
    const order = Array.from(weights.keys()).sort((a, b) => weights[b] - weights[a]); // stable
    if (this.topK !== null) {
      for (const id of order.slice(this.topK)) {
        weights[id] = 0;
      }
    }
    if (this.topP !== null) {
      const enough = this.topP * order.reduce((sum, id) => sum + weights[id], 0);
      let held = 0;
      for (const id of order) {
        const full = held > 0 && held >= enough;
        held += weights[id];
        weights[id] = full ? 0 : weights[id];
      }
    }
  }
}

/** The place of the largest value, of equal ones the first. */
export function argmax(values) {
  let best = 0;
  for (let i = 1; i < values.length; i++) {
    if (values[i] > values[best]) {
      best = i;
    }
  }
  return best;
}

function need(kept, expected, value) {
  if (!kept) {
    throw new InputError(`${expected}, got ${value}`);
  }
}
