/** Generator: a sequence of symbols from one label, or from one vector of numbers. */

import { checkOptions, continued } from "./answers.js";
import { InputError } from "./errors.js";
import { Model } from "./model.js";
import { decodingId, longestAnswer, vocabularyOf } from "./searchable.js";

const SHOWN = 12;

/** A model of the task "generation"; its vocabularies are "output" and, given labels, "labels". */
export class Generator extends Model {
  /** What it knows to write for; empty where vectors are given. */
  get labels() {
    return this.vocabularies.labels?.symbols ?? [];
  }

  /**
   * The symbols for one label, or for one vector, each as soon as it is made: an async generator,
   * whose `return` ends it. Options: prompt (how the sequence begins), maxLength (by default the
   * bundle's), those of Sampler, and stop. Throws InputError at once for an unknown label, a
   * vector of another size, and impossible options.
   */
  running(given, { prompt = "", ...options } = {}) {
    checkOptions(options);
    const vocabulary = vocabularyOf(this, "output");
    const start = decodingId(this, "start", "output");
    const ids = [start, ...vocabulary.encode(prompt, { unknown: this.unknown })];
    // One row of one step: a label's id, or the numbers of a vector.
    const source = [typeof given === "string" ? [this.#label(given)] : [...given]];
    const maxLength = longestAnswer(this.manifest);
    return continued(() => this.stream({ source }), ids, vocabulary, { maxLength, ...options });
  }

  #label(label) {
    const id = this.labels.indexOf(label);
    if (id < 0) {
      const some = this.labels.slice(0, SHOWN).join(", ");
      const more = this.labels.length > SHOWN ? ", …" : "";
      throw new InputError(`there is no label ${JSON.stringify(label)}; there are ${some}${more}`);
    }
    return id;
  }
}
