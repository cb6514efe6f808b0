/**
 * manifest.json, the contract of a bundle: read, checked, and identified (docs/bundle-format.md).
 */

import { checkGraphs } from "./contract.js";
import { sha256 } from "./digest.js";
import { BundleError, shown } from "./errors.js";
import { canonical, Float, parseTree, plain } from "./json.js";
import * as read from "./schema.js";

export const FORMAT = "treadle-bundle/1";
export const MANIFEST_FILE = "manifest.json";
export const SIGNATURE_FILE = "signature.json";
/** Files that say how good a model is, not which model it is: outside the digest. */
export const GOLDEN_FILE = "golden.npz";
/** What an encoder reads is padded to a multiple of so many columns. */
export const SOURCE_MULTIPLE = 16;

/** task -> the graphs it has, those it may have, and which vocabulary numbers an input's ids. */
export const TASKS = {
  classification: task("sequence", "step prompt", { step: "input", sequence: "input" }),
  forecasting: task("step sequence", "prompt", {}),
  generation: task("step sequence encode", "prompt", { step: "output", encode: "labels" }),
  "language-modelling": task("step sequence", "prompt", { step: "symbols" }),
  "speech-transduction": task("step sequence", "prompt predictor joiner", {
    predictor: "output",
  }),
  tagging: task("sequence", "step prompt", { step: "input", sequence: "input" }),
  transduction: task("step sequence encode", "prompt", { step: "output", encode: "input" }),
  stateful: task("step sequence", "prompt", {}),
  "whole-sequence": task("sequence", "prompt", {}),
};

function task(graphs, optional, vocabularies) {
  return { graphs: graphs.split(" "), optional: optional.split(" "), vocabularies };
}

const axis = read.either(read.text, (value) => typeof value === "string", read.integer);
const shape = read.listOf(axis);
const tensor = { name: read.text, dtype: read.text, shape };
const contextFields = {
  ...tensor,
  from: read.exactly("encode"),
  pad_multiple: read.nullable(read.integer),
  pad_value: read.number,
};
const stateFields = {
  name: read.text,
  input: read.text,
  output: read.text,
  dtype: read.text,
  shape,
  initial: read.either(
    read.exactly("zeros"),
    (value) => typeof value === "string",
    read.objectOf(read.text),
  ),
  bound: read.nullable(read.number),
};
const graphFields = {
  file: read.text,
  inputs: read.listOf(read.record(tensor)),
  outputs: read.listOf(read.record(tensor)),
  context: read.listOf(
    read.record(contextFields, { from: "encode", pad_multiple: null, pad_value: new Float(0) }),
  ),
  state: read.listOf(read.record(stateFields, { bound: null })),
  active: read.nullable(read.text),
};
const free = read.objectOf(read.anything);
const manifestFields = {
  format: read.text,
  name: read.text,
  task: read.text,
  digest: read.text,
  files: read.objectOf(read.record({ sha256: read.text, bytes: read.integer })),
  graphs: read.objectOf(read.record(graphFields, { context: [], state: [], active: null })),
  vocabularies: read.objectOf(read.text),
  decoding: free,
  precision: read.text,
  plan: free,
  target: read.text,
  requires: free,
  evidence: free,
  evaluation: free,
  licence: free,
  provenance: free,
  seal: read.text,
};

/**
 * The manifest in the text of a file, as plain objects. Throws BundleError, naming field and file,
 * for a later format, a field that is wrong, and parts that do not agree.
 * @param {string} content
 * @param {string} where what errors call the file
 */
export async function readManifest(content, where) {
  try {
    const tree = parseTree(content, "it");
    checkFormat(tree);
    const known = read.record(manifestFields)(tree, "");
    const manifest = plain(known);
    checkParts(manifest);
    await checkIdentity(known, manifest);
    return manifest;
  } catch (error) {
    if (error instanceof RangeError) {
      throw new BundleError(`in ${where}: it is nested too deeply`); // the stack's end
    }
    throw error instanceof BundleError ? new BundleError(`in ${where}: ${error.message}`) : error;
  }
}

function checkFormat(tree) {
  if (!(tree instanceof Map)) {
    throw new BundleError("a manifest must be an object");
  }
  const found = tree.get("format");
  if (found === FORMAT) {
    return;
  }
  if (/^treadle-bundle\/\d+$/.test(found) && Number(found.split("/")[1]) > 1) {
    throw new BundleError(
      `the bundle has the format '${found}', later than '${FORMAT}'; ` +
        "update treadle.js: npm install treadle@latest",
    );
  }
  throw new BundleError(`format must be '${FORMAT}', got ${shown(plain(found))}`);
}

function checkParts(manifest) {
  const { files, graphs, task: name } = manifest;
  Object.keys(files).forEach(checkFileName);
  if (!Object.hasOwn(TASKS, name)) {
    throw new BundleError(
      `task must be one of ${Object.keys(TASKS).join(", ")}, got ${shown(name)}`,
    );
  }
  const { graphs: needed, optional, vocabularies } = TASKS[name];
  for (const graph of needed) {
    if (!Object.hasOwn(graphs, graph)) {
      throw new BundleError(`graphs.${graph} is missing: ${name} needs it`);
    }
  }
  for (const graph of Object.keys(graphs)) {
    if (!needed.includes(graph) && !optional.includes(graph)) {
      throw new BundleError(`graphs.${graph} is not a graph of the task ${name}`);
    }
  }
  for (const [place, file] of namedFiles(manifest)) {
    if (!Object.hasOwn(files, file) || file === GOLDEN_FILE) {
      throw new BundleError(`${place} names '${file}', which is not in files of the model`);
    }
  }
  checkGraphs(graphs);
  for (const [graph, role] of Object.entries(vocabularies)) {
    const readsIds = graphs[graph]?.inputs[0].dtype === "int64";
    if (readsIds && !Object.hasOwn(manifest.vocabularies, role)) {
      throw new BundleError(`vocabularies.${role} is missing: graphs.${graph} reads ids`);
    }
  }
}

function* namedFiles({ graphs, vocabularies }) {
  for (const [name, graph] of Object.entries(graphs)) {
    yield [`graphs.${name}.file`, graph.file];
    for (const port of graph.state) {
      if (port.initial.file !== undefined) {
        yield [`graphs.${name}: the state '${port.name}'`, port.initial.file];
      }
    }
  }
  for (const [role, file] of Object.entries(vocabularies)) {
    yield [`vocabularies.${role}`, file];
  }
}

/** Throws BundleError unless the name is plain: inside the bundle on every system. */
export function checkFileName(name) {
  const own = [MANIFEST_FILE, SIGNATURE_FILE].includes(name);
  if (own || ["", ".", ".."].includes(name) || /[\\/:*?"<>|\0]|\p{Cs}/u.test(name)) {
    throw new BundleError(
      `files names ${shown(name)}: a file of a bundle has a plain name, without a path; ` +
        "do not use this bundle",
    );
  }
}

/** Digest and seal, computed anew, are those in the manifest. */
async function checkIdentity(known, manifest) {
  const parts = ["task", "graphs", "vocabularies", "decoding", "precision", "plan"];
  const identity = new Map(parts.map((part) => [part, known.get(part)]));
  const files = Object.entries(manifest.files).filter(([name]) => name !== GOLDEN_FILE);
  identity.set("files", new Map(files.map(([name, file]) => [name, file.sha256])));
  const all = new Map([...known].filter(([key]) => key !== "seal"));
  for (const [field, tree] of [
    ["digest", identity],
    ["seal", all],
  ]) {
    const found = await sha256(canonical(tree));
    if (found !== manifest[field]) {
      throw new BundleError(
        `it was changed: its content has the ${field} ${found}, but it says ` +
          `${shown(manifest[field])}; fetch or export the bundle again`,
      );
    }
  }
}
