/** Replay a bundle's golden trace here: what was recorded against what this engine computes. */

import { argmax } from "./sampling.js";
import { BundleError, messageOf, StateError } from "./errors.js";
import { gathered } from "./arrays.js";
import { GOLDEN_FILE } from "./manifest.js";
import { readNpz } from "./npz.js";
import { Snapshot } from "./snapshot.js";

/**
 * Resolves to {steps, flips, checkpoints, outputs, states}: how many steps were carried from the
 * start, at how many of them the largest output is another than recorded; at how many checkpoints
 * outputs and states were compared, and their largest absolute differences. In float32 the
 * checkpoints are those of the carried steps, and PyTorch's are expected; in other precisions each
 * is one step from the recorded state, and the bundle's own are (docs/bundle-format.md).
 *
 * `onStep(step, steps)` is told of the progress, and waited for. Rejects with BundleError for a
 * bundle without a trace, or with one that cannot be read; StateError for a model without steps.
 */
export async function replay(model, onStep = () => {}) {
  if (!("step" in model.manifest.graphs)) {
    throw new StateError(`${model.manifest.name} reads whole sequences: it has no steps to replay`);
  }
  const trace = await readTrace(model);
  const float32 = model.manifest.precision === "float32";
  const carried = await carriedOn(model, trace, onStep);
  const found = float32 ? carried : await stepped(model, trace);
  const stage = float32 ? "torch" : "bundle";
  const choices = trace.get(`choices.${stage}`)?.data;
  const expected = trace.get(`outputs.${stage}`);
  const flips = carried.choices.filter(
    (choice, step) => choices && BigInt(choice) !== choices[step],
  );
  const states = [...found.states].map(([name, rows]) => {
    const recorded = trace.get(`${float32 ? "state" : "next_state"}.${name}`);
    return largestDifference(recorded.data, rows);
  });
  return {
    steps: carried.choices.length,
    flips: flips.length,
    checkpoints: found.outputs.length,
    outputs: largestDifference(expected.data, found.outputs),
    states: Math.max(0, ...states),
  };
}

async function readTrace(model) {
  if (!(GOLDEN_FILE in model.manifest.files)) {
    throw new BundleError(
      `expected a golden trace ${GOLDEN_FILE} in the bundle '${model.manifest.name}', got none; ` +
        "export it again to prove it here",
    );
  }
  try {
    const trace = await readNpz(model.bundle.read(GOLDEN_FILE));
    const names = ["source", "inputs", "checkpoints", "columns", "outputs.torch", "outputs.bundle"];
    const missing = names.find((name) => !trace.has(name));
    if (missing !== undefined) {
      throw new Error(`it has no ${missing}`);
    }
    return trace;
  } catch (error) {
    throw new BundleError(
      `expected a golden trace in ${GOLDEN_FILE}, got a file that cannot be read ` +
        `(${messageOf(error)}); fetch or export the bundle again`,
    );
  }
}

/** All steps from the start: the choice at each, sampled outputs and the state at checkpoints. */
async function carriedOn(model, trace, onStep) {
  const stream = await streamOf(model, trace);
  const inputs = trace.get("inputs");
  const checkpoints = new Set(Array.from(trace.get("checkpoints").data, Number));
  const choices = [];
  const outputs = [];
  const states = new Map();
  try {
    for (let step = 0; step < inputs.dims[0]; step++) {
      if (checkpoints.has(step)) {
        collect(states, stream.state());
      }
      const row = only(await stream.step(stepOf(inputs, step)));
      choices.push(argmax(row));
      if (checkpoints.has(step)) {
        outputs.push(columnsOf(row, trace));
      }
      await onStep(step + 1, inputs.dims[0]);
    }
  } finally {
    stream.close();
  }
  return { choices, outputs, states };
}

/** One step from each recorded state: sampled outputs and the state after it. */
async function stepped(model, trace) {
  const stream = await streamOf(model, trace);
  const start = stream.snapshot();
  const outputs = [];
  const states = new Map();
  try {
    const checkpoints = Array.from(trace.get("checkpoints").data, Number);
    for (const [place, step] of checkpoints.entries()) {
      const state = new Map(
        [...start.state.keys()].map((name) => [
          name,
          gathered(trace.get(`state.${name}`), [place]),
        ]),
      );
      stream.restore(new Snapshot(start.digest, state, start.context, start.steps));
      outputs.push(columnsOf(only(await stream.step(stepOf(trace.get("inputs"), step))), trace));
      collect(states, stream.state());
    }
  } finally {
    stream.close();
  }
  return { outputs, states };
}

async function streamOf(model, trace) {
  const source = trace.get("source");
  return await model.stream(source.data.length ? { source: [source.data] } : {});
}

function stepOf(inputs, step) {
  const size = inputs.data.length / inputs.dims[0];
  return inputs.data.subarray(step * size, (step + 1) * size);
}

/** The outputs of one row, one after the other. */
function only(outputs) {
  return Object.values(outputs).flatMap(({ data }) => Array.from(data));
}

function columnsOf(row, trace) {
  return Array.from(trace.get("columns").data, (column) => row[Number(column)]);
}

function collect(states, state) {
  for (const [name, { data }] of state) {
    states.set(name, [...(states.get(name) ?? []), data]);
  }
}

/** Of recorded values and rows of as many; a value that is not finite counts as infinite. */
function largestDifference(expected, rows) {
  let place = 0;
  let largest = 0;
  for (const row of rows) {
    for (const value of row) {
      const difference = Math.abs(expected[place] - value);
      largest = Math.max(largest, Number.isFinite(difference) ? difference : Infinity);
      place += 1;
    }
  }
  return place === expected.length ? largest : Infinity;
}
