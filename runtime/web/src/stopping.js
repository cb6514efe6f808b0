/** Stop strings: decoding ends before the first of them, and shows no part of one. */

import { InputError } from "./errors.js";

/** Strings that end a text: one or several. Throws InputError for an empty one. */
export class StopStrings {
  constructor(stop = []) {
    this.strings = typeof stop === "string" ? [stop] : [...stop];
    if (this.strings.some((one) => typeof one !== "string" || one === "")) {
      throw new InputError("expected stop strings of at least one character, got an empty one");
    }
  }

  /** Where the first stop string in a text begins, or -1. */
  find(text) {
    const found = this.strings.map((one) => text.indexOf(one)).filter((place) => place >= 0);
    return found.length ? Math.min(...found) : -1;
  }

  /** Where one could have begun that the end of a text does not complete; its length if nowhere. */
  begins(text) {
    const longest = Math.max(0, ...this.strings.map((one) => one.length));
    for (let place = Math.max(0, text.length - longest + 1); place < text.length; place++) {
      if (this.strings.some((one) => one.startsWith(text.slice(place)))) {
        return place;
      }
    }
    return text.length;
  }
}

/**
 * The symbols up to the first stop string in their text, with `space` between symbols. A symbol is
 * held back while it may belong to a stop string; one in which one begins is cut there.
 */
export async function* untilStop(symbols, stops, space) {
  const held = []; // [space before it, symbol]
  let lead = "";
  for await (const symbol of symbols) {
    held.push([lead, symbol]);
    lead = space;
    const text = held.flat().join("");
    const place = stops.find(text);
    if (place >= 0) {
      yield* cut(held, place);
      return;
    }
    let safe = stops.begins(text);
    while (held.length && safe >= held[0][0].length + held[0][1].length) {
      const [before, after] = held.shift();
      safe -= before.length + after.length;
      yield after;
    }
  }
  yield* held.map(([, after]) => after);
}

/** What of the symbols lies before a place of their text. */
function* cut(held, place) {
  for (const [before, after] of held) {
    place -= before.length;
    if (place > 0) {
      yield after.slice(0, place);
    }
    place -= after.length;
  }
}
