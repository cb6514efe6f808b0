/** What a search takes from a bundle: symbols to choose from, where it starts and where it ends. */

import { BundleError, shown } from "./errors.js";

const LONGEST_ANSWER = 65536;
const WIDEST_BEAM = 256;
const LENGTH_PENALTY = 0.6;

/** The vocabulary whose symbols a step's logits are of. Throws BundleError where there is none. */
export function vocabularyOf(model, role) {
  const { manifest, vocabularies } = model;
  const vocabulary = vocabularies[role];
  if (vocabulary === undefined) {
    throw new BundleError(
      `${manifest.name} has no vocabulary '${role}', so it cannot make symbols; ` +
        "run it step by step: Model.stream",
    );
  }
  const { outputs } = manifest.graphs.step;
  const named = outputs.find((tensor) => outputs.length === 1 || tensor.name === "logits");
  const fits =
    named?.dtype === "float32" && named.shape.slice(1).join() === String(vocabulary.size);
  if (!fits) {
    throw new BundleError(
      `graphs.step of ${manifest.name} should give logits float32 [batch, ${vocabulary.size}], ` +
        `one for each symbol of the vocabulary '${role}', got ${shown(outputs)}; ` +
        "export the bundle again",
    );
  }
  return vocabulary;
}

/** The symbol that `decoding` gives as `key`. Throws BundleError for one that is not there. */
export function decodingId(model, key, role) {
  return integer(model.manifest, key, 0, vocabularyOf(model, role).size - 1);
}

/** Steps that a search makes at most. */
export function longestAnswer(manifest) {
  return integer(manifest, "max_length", 1, LONGEST_ANSWER);
}

/** Hypotheses that a search keeps unless told otherwise. */
export function usualBeam(manifest) {
  return "beam" in manifest.decoding ? integer(manifest, "beam", 1, WIDEST_BEAM) : 1;
}

/** The exponent of the length penalty unless told otherwise. */
export function usualLengthPenalty(manifest) {
  const value = manifest.decoding.length_penalty ?? LENGTH_PENALTY;
  if (typeof value !== "number" || !(value >= 0 && value <= 10)) {
    throw wrong(manifest, "length_penalty", "a number from 0 to 10", value);
  }
  return value;
}

function integer(manifest, key, least, most) {
  const value = manifest.decoding[key];
  if (!Number.isInteger(value) || value < least || value > most) {
    throw wrong(manifest, key, `an integer in ${least}..${most}`, value);
  }
  return value;
}

function wrong(manifest, key, expected, value) {
  return new BundleError(
    `decoding.${key} of ${manifest.name} should be ${expected}, got ${shown(value)}; ` +
      "export the bundle again",
  );
}
