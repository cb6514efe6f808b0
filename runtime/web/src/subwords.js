/**
 * Text into pieces of words, by the merges that byte-pair encoding learnt: the pair of neighbours
 * that was learnt first becomes one piece, leftmost first, until no learnt pair is left.
 */

/** What stands for a space within a piece. */
export const SPACE = "\u2581";

const WORDS = /\u2581?[^\u2581]+|\u2581/gu;
const REMEMBERED = 2 ** 16; // words whose pieces are kept

export class Merges {
  #ranks = new Map();
  #ofWord = new Map();

  /** @param {[string, string][]} pairs in the order in which they were learnt */
  constructor(pairs) {
    this.pairs = pairs;
    pairs.forEach((pair, rank) => this.#ranks.set(keyOf(...pair), rank));
  }

  /** The pieces of a text, with SPACE for each space; joined they are the text. */
  pieces(text) {
    const words = text.replaceAll(" ", SPACE).match(WORDS) ?? [];
    return words.flatMap((word) => this.#piecesOf(word));
  }

  #piecesOf(word) {
    let pieces = this.#ofWord.get(word);
    if (pieces === undefined) {
      pieces = this.#merged(word);
      if (this.#ofWord.size >= REMEMBERED) {
        this.#ofWord.clear();
      }
      this.#ofWord.set(word, pieces);
    }
    return pieces;
  }

  #merged(word) {
    const pieces = Array.from(word);
    for (;;) {
      let best = Infinity;
      let place = -1;
      for (let i = 0; i + 1 < pieces.length; i++) {
        const rank = this.#ranks.get(keyOf(pieces[i], pieces[i + 1])) ?? Infinity;
        if (rank < best) {
          [best, place] = [rank, i];
        }
      }
      if (place < 0) {
        return pieces;
      }
      pieces.splice(place, 2, pieces[place] + pieces[place + 1]);
    }
  }
}

/** A pair as a key of a Map; the length says where the left piece ends. */
function keyOf(left, right) {
  return `${left.length} ${left}${right}`;
}
