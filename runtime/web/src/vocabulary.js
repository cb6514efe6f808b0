/** Text or symbols to ids and back. */

import { BundleError, InputError, shown } from "./errors.js";
import { Merges, SPACE } from "./subwords.js";

const FORMAT = "treadle-vocabulary/1";
const KINDS = ["characters", "symbols", "words", "subwords"];
const SPECIALS = ["padding", "start", "end", "unknown"];
const SAMPLE = 40;
// White space, letters and digits as Python's \s and \w have them; JavaScript's are others.
const SPACES =
  "\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";
const LETTERS = "\\p{L}\\p{N}_";
const WORD = new RegExp(`[${LETTERS}']+|[^${LETTERS}${SPACES}]`, "gu");
const NO_SPACE = new RegExp(`[^${SPACES}]+`, "gu");
const NO_CHARACTER = "\uffff"; // Unicode promises that no text has it

/**
 * A fixed, ordered set of symbols; the id of a symbol is its place. `kind`, `symbols`, `padding`,
 * `start`, `end` and `unknown` (ids or null) are those of the file.
 */
export class Vocabulary {
  #ids = new Map();
  #special;
  #merges;

  /** The vocabulary in a JSON document. Throws BundleError when it is not one. */
  constructor(document) {
    const fields = ["format", "kind", "symbols", ...SPECIALS];
    if (document?.kind === "subwords") {
      fields.push("merges");
    }
    if (document?.format !== FORMAT) {
      throw new BundleError(
        `a vocabulary of the format '${FORMAT}' is expected, got ${shown(document?.format)}; ` +
          "update treadle.js if it is a later one",
      );
    }
    const found = Object.keys(document).sort();
    if (found.join() !== fields.sort().join() || !Array.isArray(document.symbols)) {
      throw new BundleError(
        `a vocabulary has the fields ${fields.join(", ")}, got ${found.join(", ")}`,
      );
    }
    this.kind = document.kind;
    this.symbols = Object.freeze([...document.symbols]);
    for (const name of SPECIALS) {
      this[name] = document[name];
    }
    this.#special = new Set(SPECIALS.map((name) => this[name]).filter((id) => id !== null));
    this.#check(document.merges ?? []);
    this.symbols.forEach((symbol, id) => this.#special.has(id) || this.#ids.set(symbol, id));
    this.#merges = new Merges(document.merges ?? []);
  }

  #check(merges) {
    const { symbols, kind } = this;
    const whole = symbols.every((one) => typeof one === "string" && one !== "");
    const inside = (id) => Number.isInteger(id) && id >= 0 && id < symbols.length;
    const single = (one, id) => this.#special.has(id) || Array.from(one).length === 1;
    for (const [kept, fault] of [
      [KINDS.includes(kind), `it is of kind ${KINDS.join(", ")}, not ${shown(kind)}`],
      [symbols.length > 0, "it needs at least one symbol, got none"],
      [whole, "its symbols are strings that are not empty"],
      [!whole || !/\p{Cs}/u.test(symbols.join("")), "a symbol holds half a character"],
      [new Set(symbols).size === symbols.length, "a symbol is in it twice"],
      [
        [...this.#special].every(inside),
        `the ids of special symbols are in 0..${symbols.length - 1}`,
      ],
      [kind !== "characters" || symbols.every(single), "it holds single characters"],
      [merges.every((one) => Array.isArray(one) && one.length === 2), "merges are pairs of pieces"],
    ]) {
      if (!kept) {
        throw new BundleError(`the vocabulary is malformed: ${fault}`);
      }
    }
  }

  get size() {
    return this.symbols.length;
  }

  /**
   * Ids of the symbols of `text`, as `kind` says. A symbol that is not in the vocabulary throws
   * InputError, or becomes the unknown symbol with `unknown: "symbol"`. Words are never all known:
   * one that is not becomes the unknown symbol without being asked.
   */
  encode(text, { unknown = "error" } = {}) {
    return this.encodeSymbols(this.split(text), { unknown });
  }

  /** As `encode`, of what is split already: a symbol may then hold white space. */
  encodeSymbols(symbols, { unknown = "error" } = {}) {
    const standsIn = this.unknown !== null && (unknown === "symbol" || this.kind === "words");
    return symbols.map((symbol, position) => {
      const id = this.#ids.get(symbol) ?? (standsIn ? this.unknown : undefined);
      if (id === undefined) {
        throw this.#stranger(symbol, position, unknown);
      }
      return id;
    });
  }

  /** The symbols of `text`, whether the vocabulary has them or not. */
  split(text) {
    if (this.kind === "words") {
      return text.toLowerCase().match(WORD) ?? [];
    }
    if (this.kind === "subwords") {
      // A text that has the sign itself must not be read as one with a space there.
      return this.#merges.pieces(text.replaceAll(SPACE, NO_CHARACTER));
    }
    return this.kind === "characters" ? Array.from(text) : (text.match(NO_SPACE) ?? []);
  }

  #stranger(symbol, position, unknown) {
    let todo = "leave it out";
    if (unknown === "symbol") {
      todo = "it has no unknown symbol that could stand in, so leave the symbol out";
    } else if (this.unknown !== null) {
      todo = 'leave it out, or ask for unknown: "symbol"';
    }
    const known = [...this.#ids.keys()].slice(0, SAMPLE);
    const sample = known.join(this.kind === "characters" ? "" : " ");
    const more = this.#ids.size > SAMPLE ? " …" : "";
    return new InputError(
      `the symbol ${JSON.stringify(symbol.replaceAll(NO_CHARACTER, SPACE))} at position ` +
        `${position} is not in the vocabulary of ${this.#ids.size} symbols ` +
        `(${sample}${more}); ${todo}`,
    );
  }

  /** Symbols of `ids`, special symbols left out. Throws InputError for an id out of range. */
  decode(ids) {
    const symbols = [];
    for (const id of ids) {
      if (!(Number.isInteger(id) && id >= 0 && id < this.size)) {
        throw new InputError(`an id must be in 0..${this.size - 1}, got ${id}`);
      }
      if (!this.#special.has(id)) {
        symbols.push(this.symbols[id]);
      }
    }
    const pieces = this.kind === "subwords";
    return pieces ? symbols.map((symbol) => symbol.replaceAll(SPACE, " ")) : symbols;
  }

  /** What stands between two symbols in text. */
  get space() {
    return this.kind === "symbols" || this.kind === "words" ? " " : "";
  }

  /** Text of `ids`: characters and subwords as they are, symbols and words with spaces. */
  text(ids) {
    return this.decode(ids).join(this.space);
  }
}

/** Words as one writes them: no space before , . ! ? ; : % ) ] } and none after ( [ {. */
export function detokenized(words) {
  return words.replace(/ (?=[,.!?;:%)\]}])/g, "").replace(/(?<=[([{]) /g, "");
}
