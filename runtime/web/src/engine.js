/** The engine, onnxruntime-web: found, checked, and its sessions opened, or why not. */

import { BundleError, DeviceError, messageOf } from "./errors.js";
import { withLoopWeights } from "./loop_weights.js";
import { GOLDEN_FILE } from "./manifest.js";

const ERRORS = 3; // of the engine's levels: its advice on sound graphs is left out

/** The module that was given, or the package's. Rejects with DeviceError when it is missing. */
export async function loadEngine(given) {
  if (given) {
    return given;
  }
  try {
    // The entry without WebGPU and WebGL: fewer bytes, and all the kernels that a bundle needs.
    return await import("onnxruntime-web/wasm");
  } catch (error) {
    throw new DeviceError(
      `running a model needs onnxruntime-web, which cannot be imported (${messageOf(error)}); ` +
        "npm install onnxruntime-web, or hand the module over: load(source, { engine })",
    );
  }
}

/** Throws DeviceError when the engine is older than `required`, a version such as "1.22". */
export function checkEngine(engine, required) {
  const found = engine.env?.versions?.web ?? engine.env?.versions?.common;
  if (typeof required === "string" && found !== undefined && older(found, required)) {
    throw new DeviceError(
      `this bundle needs onnxruntime ${required} or later, got onnxruntime-web ${found}; ` +
        "npm install onnxruntime-web@latest",
    );
  }
}

function older(found, required) {
  const parts = (version) => version.split(".").map((part) => Number.parseInt(part, 10));
  const [[major, minor], [neededMajor, neededMinor = 0]] = [parts(found), parts(required)];
  return major < neededMajor || (major === neededMajor && minor < neededMinor);
}

/**
 * A session of one graph. `threads` count for the first session of the page: the engine starts
 * them once. Rejects with BundleError for a graph that is not what the manifest says, DeviceError
 * where the engine refuses it.
 */
export async function openSession(engine, bundle, graph, threads) {
  engine.env.wasm.numThreads = threads;
  const file = withLoopWeights(bundle, graph.file);
  let session;
  try {
    session = await engine.InferenceSession.create(file, {
      executionProviders: ["wasm"],
      logSeverityLevel: ERRORS,
      externalData: weightsOf(bundle),
    });
  } catch (error) {
    throw new DeviceError(
      `onnxruntime-web cannot open ${bundle.shown}/${graph.file}: ${messageOf(error)}; ` +
        "fetch or export the bundle again",
    );
  }
  checkPorts(session, graph, bundle);
  return session;
}

/** The files that a graph's external data may lie in, by the names that the graph has for them. */
function weightsOf(bundle) {
  const { manifest } = bundle;
  const others = new Set([
    GOLDEN_FILE,
    ...Object.values(manifest.graphs).map((graph) => graph.file),
    ...Object.values(manifest.vocabularies),
  ]);
  const names = Object.keys(manifest.files).filter((name) => !others.has(name));
  return names.map((path) => ({ path, data: bundle.read(path) }));
}

function checkPorts(session, graph, bundle) {
  const inputs = [...graph.inputs, ...graph.context].map((tensor) => tensor.name);
  inputs.push(...graph.state.map((port) => port.input));
  const outputs = graph.outputs.map((tensor) => tensor.name);
  outputs.push(...graph.state.map((port) => port.output));
  for (const [what, expected, found] of [
    ["inputs", inputs, session.inputNames.filter((name) => name !== graph.active)],
    ["outputs", outputs, session.outputNames],
  ]) {
    if ([...expected].sort().join() !== [...found].sort().join()) {
      throw new BundleError(
        `${bundle.shown}/${graph.file} should have the ${what} ${expected.join(", ")}, ` +
          `got ${found.join(", ")}; export the bundle again`,
      );
    }
  }
}
