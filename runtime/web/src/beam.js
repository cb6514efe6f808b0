/**
 * Beam search with length normalization, over sources x beam rows of one stream, as in Python.
 *
 * S sources, K rows (the beam) each, V symbols: row s * K + k of the stream carries the k-th living
 * hypothesis of source s.
 */

import { logSoftmax, readLogits } from "./logits.js";

/**
 * ((5 + length) / 6) ** alpha; a hypothesis scores log-probability / lengthPenalty. `length` counts
 * the end symbol too. Source: Wu et al. 2016, "Google's neural machine translation system",
 * equation 14, without its coverage penalty.
 */
export function lengthPenalty(length, alpha) {
  return ((5 + length) / 6) ** alpha;
}

/**
 * The `nBest` sequences of each source, best first. Each row reads its own of `start` first. A
 * hypothesis that ends keeps its place in the beam. A source stops when its beam is full, when
 * nothing alive can still enter its n best, or after `maxLength` steps; hypotheses cut there rank
 * behind those that ended. Equal scores keep the order of hypothesis, then symbol.
 */
export async function beamSearch(stream, options) {
  const { beam, start, maxLength } = options;
  const searches = Array.from({ length: start.length / beam }, () => new Search(options));
  const tokens = [...start];
  for (let step = 0; step < maxLength; step++) {
    const logits = readLogits(await stream.step(tokens), step);
    const rows = [...tokens.keys()];
    searches.forEach((search, source) => {
      const first = source * beam;
      const parents = search.extend(logits.slice(first, first + beam));
      parents.forEach((parent, place) => {
        rows[first + place] = first + parent;
        tokens[first + place] = search.alive[place].ids.at(-1);
      });
    });
    if (!searches.some((search) => search.alive.length)) {
      break;
    }
    if (step + 1 < maxLength) {
      stream.select(rows);
    }
  }
  return searches.map((search) => search.best());
}

/** The beam of one source: hypotheses alive and finished. */
class Search {
  constructor(options) {
    this.options = options;
    this.alive = [{ ids: [], total: 0 }];
    this.finished = [];
    this.steps = 0;
  }

  /** Make one step from logits [K][V]; the row each living hypothesis now continues from. */
  extend(logits) {
    if (!this.alive.length) {
      return [];
    }
    this.steps += 1;
    const { beam, end, until = null } = this.options;
    const candidates = this.alive.map(({ total }, row) =>
      logSoftmax(logits[row]).map((one) => one + total),
    );
    const parents = [];
    const alive = [];
    for (const [parent, symbol] of largest(candidates, beam - this.finished.length)) {
      const total = candidates[parent][symbol];
      const ids = symbol === end ? this.alive[parent].ids : [...this.alive[parent].ids, symbol];
      if (symbol === end || until?.(ids)) {
        this.finished.push(this.#decoded(ids, total, true));
      } else {
        parents.push(parent);
        alive.push({ ids, total });
      }
    }
    const settled = this.#settled(alive);
    this.alive = settled ? [] : alive;
    return settled ? [] : parents;
  }

  /**
   * Whether no living hypothesis can enter the n best any more. Log-probabilities only fall and
   * the penalty is largest at `maxLength`, so the quotient of the two bounds every continuation.
   */
  #settled(alive) {
    const { nBest, maxLength, lengthNormalization } = this.options;
    if (this.finished.length < nBest || !alive.length) {
      return false;
    }
    const scores = this.finished.map((made) => made.score).sort((a, b) => b - a);
    const most = Math.max(...alive.map((living) => living.total));
    return most / lengthPenalty(maxLength, lengthNormalization) <= scores[nBest - 1];
  }

  #decoded(ids, total, finished) {
    const penalty = lengthPenalty(this.steps, this.options.lengthNormalization);
    return { ids, logProbability: total, score: total / penalty, finished };
  }

  /** The n best; what is still alive was cut, and ranks behind what ended. */
  best() {
    const byScore = (made) => [...made].sort((a, b) => b.score - a.score);
    const cut = this.alive.map(({ ids, total }) => this.#decoded(ids, total, false));
    return [...byScore(this.finished), ...byScore(cut)].slice(0, this.options.nBest);
  }
}

/** The places (hypothesis, symbol) of the `most` largest candidates, of equal ones the first. */
function largest(candidates, most) {
  const kept = [];
  candidates.forEach((row, hypothesis) => {
    row.forEach((value, symbol) => {
      if (kept.length === most && !(value > kept.at(-1).value)) {
        return;
      }
      let place = kept.length;
      while (place > 0 && value > kept[place - 1].value) {
        place -= 1;
      }
      kept.splice(place, 0, { value, at: [hypothesis, symbol] });
      kept.length = Math.min(kept.length, most);
    });
  });
  return kept.map(({ at }) => at);
}
