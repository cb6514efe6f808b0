/**
 * treadle.js: Treadle's bundles in a browser or in Node, one step at a time, on onnxruntime-web.
 *
 *     import { load } from "treadle";
 *     const model = await load("pronounce-en.treadle");
 *     const [[best]] = await model.transduce("treadle");
 *     console.log(best.text);
 */

import { openBundle } from "./src/bundle.js";
import { loadEngine } from "./src/engine.js";
import { Generator } from "./src/generator.js";
import { LanguageModel } from "./src/language_model.js";
import { Model, readInitial } from "./src/model.js";
import { Transducer } from "./src/transducer.js";

export { Bundle, openBundle } from "./src/bundle.js";
export { BundleError, DeviceError, InputError, StateError, TreadleError } from "./src/errors.js";
export { Generator } from "./src/generator.js";
export { replay } from "./src/golden.js";
export { LanguageModel } from "./src/language_model.js";
export { Model } from "./src/model.js";
export { philox4x32, uniform } from "./src/philox.js";
export { Sampler } from "./src/sampling.js";
export { Snapshot } from "./src/snapshot.js";
export { Stream } from "./src/stream.js";
export { Transducer } from "./src/transducer.js";
export { Vocabulary } from "./src/vocabulary.js";

/** Task -> what `load` returns; a model of any other task has its streams. */
const CLASSES = {
  generation: Generator,
  "language-modelling": LanguageModel,
  transduction: Transducer,
};

/**
 * Open the bundle in `source` (see `openBundle`), as what its task is.
 *
 * engine: the module onnxruntime-web, where it is not imported by its name. threads: of a step, for
 * the first model of a page; more than one need a page that is cross-origin isolated. unknown: a
 * symbol outside the vocabulary is an InputError, or becomes the unknown symbol with "symbol".
 *
 * Rejects with BundleError for a bundle that is missing, damaged, changed or of a later format,
 * DeviceError when the engine is missing or too old, InputError for an impossible option.
 */
export async function load(source, { engine = null, threads = 1, unknown = "error" } = {}) {
  const [bundle, module] = await Promise.all([openBundle(source), loadEngine(engine)]);
  const kind = CLASSES[bundle.manifest.task] ?? Model;
  return new kind(bundle, module, await readInitial(bundle), { threads, unknown });
}
