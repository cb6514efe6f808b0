/** Transducer: one text to another, such as spelling to pronunciation. */

import { checkOptions, Searching } from "./answers.js";
import { InputError } from "./errors.js";
import { Model } from "./model.js";
import { Sampler } from "./sampling.js";
import {
  decodingId,
  longestAnswer,
  usualBeam,
  usualLengthPenalty,
  vocabularyOf,
} from "./searchable.js";
import { detokenized } from "./vocabulary.js";

/** A model of the task "transduction"; its vocabularies are "input" and "output". */
export class Transducer extends Model {
  /**
   * The nBest answers for each text, best first: hypotheses {symbols, ids, text, score, finished}.
   *
   * Options: beam (1 is greedy search, or with a temperature above 0 sampling, text number i as row
   * i of the random numbers), nBest, lengthNormalization, maxLength, stop, and those of Sampler,
   * which need a beam of 1. Beam, exponent and length default to the bundle's. Rejects with
   * InputError for an empty text, a symbol outside the vocabulary, and impossible options.
   */
  async transduce(texts, options = {}) {
    checkOptions(options);
    const words = typeof texts === "string" ? [texts] : [...texts];
    const searching = this.#searching(options);
    const vocabulary = vocabularyOf(this, "output");
    const sources = words.map((word) => this.#encoded(word));
    const [start, end] = ["start", "end"].map((key) => decodingId(this, key, "output"));
    const answers = [];
    for (const batch of searching.batches(sources)) {
      const source = searching.rows(batch.map((index) => sources[index]));
      const stream = await this.stream({ source });
      try {
        const read = { start: source.map(() => start), end, numbers: batch };
        const found = await searching.run(stream, vocabulary, read);
        batch.forEach((index, place) => {
          answers[index] = found[place].map((answer) => this.#written(answer));
        });
      } finally {
        stream.close();
      }
    }
    return answers;
  }

  #searching(options) {
    const { temperature = 0, topK, topP, minP, repetitionPenalty, seed } = options;
    const drawn = new Sampler({ temperature, topK, topP, minP, repetitionPenalty, seed });
    return new Searching({
      beam: drawn.isGreedy ? usualBeam(this.manifest) : 1,
      lengthNormalization: usualLengthPenalty(this.manifest),
      maxLength: longestAnswer(this.manifest),
      ...options,
    });
  }

  #encoded(word) {
    const text = this.manifest.decoding.lowercase === true ? word.toLowerCase() : word;
    let ids;
    try {
      ids = this.vocabularies.input.encode(text, { unknown: this.unknown });
    } catch (error) {
      throw error instanceof InputError
        ? new InputError(`in ${JSON.stringify(word)}, ${error.message}`)
        : error;
    }
    if (ids.length === 0) {
      throw new InputError(
        `expected a text of at least one symbol, got ${JSON.stringify(word)}; ` +
          "leave empty texts out",
      );
    }
    return ids;
  }

  #written(answer) {
    const words = this.vocabularies.output.kind === "words";
    return words ? { ...answer, text: detokenized(answer.text) } : answer;
  }
}
