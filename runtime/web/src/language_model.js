/** LanguageModel: text from a prompt, symbol by symbol. */

import { checkOptions, continued, Searching } from "./answers.js";
import { Model } from "./model.js";
import { decodingId, vocabularyOf } from "./searchable.js";

/** A model of the task "language-modelling"; its vocabulary is "symbols". */
export class LanguageModel extends Model {
  /**
   * The symbols that continue `prompt`, each as soon as it is made: an async generator, whose
   * `return` ends it. Options: maxLength, those of Sampler, and stop (a string or several). Symbol
   * number t draws the random number (seed, row 0, step t). Throws InputError at once for a prompt
   * outside the vocabulary or an impossible option.
   */
  generate(prompt = "", options = {}) {
    checkOptions(options);
    const vocabulary = vocabularyOf(this, "symbols");
    return continued(() => this.stream(), this.#begun(prompt), vocabulary, options);
  }

  /**
   * The nBest continuations of each prompt, best first: hypotheses {symbols, ids, text, score,
   * finished}. As `Transducer.transduce`, with the same options.
   */
  async complete(prompts, options = {}) {
    checkOptions(options);
    const texts = typeof prompts === "string" ? [prompts] : [...prompts];
    const searching = new Searching({ beam: 1, lengthNormalization: 0.6, ...options });
    const vocabulary = vocabularyOf(this, "symbols");
    const begun = texts.map((text) => this.#begun(text));
    const answers = [];
    for (const batch of searching.batches(begun)) {
      const rows = searching.rows(batch.map((index) => begun[index]));
      const stream = await this.stream({ batchSize: rows.length });
      try {
        // The search itself reads the last symbol, so that it sees what comes after it.
        const before = rows.map((row) => row.slice(0, -1));
        if (before.some((row) => row.length)) {
          await stream.feed(before);
        }
        const start = rows.map((row) => row.at(-1));
        const read = { start, end: vocabulary.end, numbers: batch };
        const found = await searching.run(stream, vocabulary, read);
        batch.forEach((index, place) => {
          answers[index] = found[place];
        });
      } finally {
        stream.close();
      }
    }
    return answers;
  }

  #begun(prompt) {
    const vocabulary = vocabularyOf(this, "symbols");
    const start = decodingId(this, "start", "symbols");
    return [start, ...vocabulary.encode(prompt, { unknown: this.unknown })];
  }
}
