/** Answers of a model that makes symbols: what one is, the search for many, and one as it comes. */

import { beamSearch } from "./beam.js";
import { InputError } from "./errors.js";
import { readLogits } from "./logits.js";
import { Sampler } from "./sampling.js";
import { sampleSearch } from "./search.js";
import { StopStrings, untilStop } from "./stopping.js";

/** Rows of one stream: more brings little, and a batch runs until its longest row ends. */
const MOST_ROWS = 256;
const OPTIONS = [
  ...["maxLength", "beam", "nBest", "lengthNormalization", "temperature", "topK", "topP"],
  ...["minP", "repetitionPenalty", "seed", "stop", "prompt"],
];

/** Throws InputError for an option that there is not: a misspelt one would go unnoticed. */
export function checkOptions(options) {
  const strange = Object.keys(options).find((name) => !OPTIONS.includes(name));
  if (strange !== undefined) {
    throw new InputError(`there is no option ${strange}; there are ${OPTIONS.join(", ")}`);
  }
}

/** How one call searches, in all its batches. Throws InputError for impossible options. */
export class Searching {
  constructor({ beam, nBest = 1, lengthNormalization, maxLength, stop, ...drawing }) {
    const sampler = new Sampler({ temperature: 0, ...drawing });
    if (!(Number.isInteger(beam) && Number.isInteger(nBest) && nBest >= 1 && nBest <= beam)) {
      throw new InputError(`expected 1 <= nBest <= beam, got nBest ${nBest} and beam ${beam}`);
    }
    checkLength(maxLength, 1);
    if (beam > 1 && !sampler.isGreedy) {
      throw new InputError(`expected no options of sampling with a beam, got beam ${beam}`);
    }
    if (!(lengthNormalization >= 0)) {
      throw new InputError(`lengthNormalization should be 0 or more, got ${lengthNormalization}`);
    }
    Object.assign(this, { beam, nBest, lengthNormalization, maxLength, sampler });
    this.stops = new StopStrings(stop);
  }

  /** Indices of inputs in batches of similar length, which also end after similar times. */
  *batches(inputs) {
    const size = Math.max(1, Math.floor(MOST_ROWS / this.beam));
    const order = [...inputs.keys()].sort((a, b) => inputs[a].length - inputs[b].length);
    for (let first = 0; first < order.length; first += size) {
      yield order.slice(first, first + size);
    }
  }

  /** Each of a batch as often as its beam is wide. */
  rows(values) {
    return values.flatMap((value) => Array(this.beam).fill(value));
  }

  /** The answers of a stream with `beam` rows for each of its inputs, whose `numbers` are given. */
  async run(stream, vocabulary, { start, end, numbers }) {
    const stopped = (ids) => this.stops.find(vocabulary.text(ids)) >= 0;
    const until = this.stops.strings.length ? stopped : null;
    const options = { ...this, start, end, numbers, until };
    const found =
      this.beam === 1
        ? (await sampleSearch(stream, this.sampler, options)).map((made) => [made])
        : await beamSearch(stream, options);
    return found.map((answers) => answers.map((made) => this.#hypothesis(made, vocabulary)));
  }

  /** With a stop string in it, an answer's text is cut, and its symbols are those wholly before. */
  #hypothesis({ ids, score, finished }, vocabulary) {
    let text = vocabulary.text(ids);
    const place = this.stops.find(text);
    if (place >= 0) {
      text = text.slice(0, place);
      while (vocabulary.text(ids).length > place) {
        ids = ids.slice(0, -1);
      }
    }
    return { symbols: vocabulary.decode(ids), ids, text, score, finished };
  }
}

function checkLength(maxLength, least) {
  if (!(Number.isInteger(maxLength) && maxLength >= least)) {
    throw new InputError(`maxLength should be an integer of at least ${least}, got ${maxLength}`);
  }
}

/**
 * The symbols that come after `ids`, the start symbol among them, in a stream of one row, each as
 * soon as it is made. Throws InputError at once for an impossible option.
 */
export function continued(openStream, ids, vocabulary, { maxLength, stop, ...drawing }) {
  const sampler = new Sampler(drawing);
  checkLength(maxLength, 0);
  const made = madeAfter(openStream, ids, vocabulary, sampler, maxLength);
  return untilStop(made, new StopStrings(stop), vocabulary.space);
}

async function* madeAfter(openStream, ids, vocabulary, sampler, maxLength) {
  const stream = await openStream();
  try {
    let outputs = await stream.feed([ids]);
    const made = [];
    for (let step = 0; step < maxLength; step++) {
      const [logits] = readLogits(outputs, step);
      const token = sampler.draw(logits, 0, step, made);
      if (token === vocabulary.end) {
        return;
      }
      made.push(token);
      yield* vocabulary.decode([token]);
      if (step + 1 < maxLength) {
        outputs = await stream.step([token]);
      }
    }
  } finally {
    stream.close();
  }
}
