/** What the graphs of a bundle must agree on: with their task, and with each other. */

import { BundleError, shown } from "./errors.js";

const DTYPES = ["float32", "int64", "bool"];
const LARGEST_SIZE = 2 ** 31 - 1;
/** Elements of one row of all tensors of a graph: a few bytes must not ask for all memory. */
const LARGEST_ROW = 2 ** 26;

/** Throws BundleError, naming graph and tensor, unless the graphs keep the contract. */
export function checkGraphs(graphs) {
  for (const [name, graph] of Object.entries(graphs)) {
    checkNames(name, graph);
    checkTensors(name, graph);
  }
  const { step, sequence, prompt, encode } = graphs;
  need(sequence.inputs.length === 2, "graphs.sequence must have two inputs, x and lengths");
  checkLengths("sequence", sequence);
  if (step === undefined) {
    need(prompt === undefined, "graphs.prompt has no meaning without graphs.step");
    need(!carries(sequence), "graphs.sequence has no state and no context without graphs.step");
    return;
  }
  need(step.inputs.length === 1, `graphs.step must have one input, has ${step.inputs.length}`);
  checkFixed(step);
  checkSequence(sequence, step);
  if (prompt !== undefined) {
    need(
      same(prompt.inputs, sequence.inputs) && same(prompt.outputs, step.outputs),
      "graphs.prompt must have the inputs of graphs.sequence and the outputs of graphs.step",
    );
    need(sameCarried(prompt, step), "graphs.prompt and graphs.step must have the same state");
  }
  if (encode !== undefined) {
    checkEncode(encode);
  }
  checkOrigins(step, encode);
}

function checkNames(name, graph) {
  const inputs = [...graph.inputs, ...graph.context].map((one) => one.name);
  inputs.push(...graph.state.map((port) => port.input), ...(graph.active ? [graph.active] : []));
  const outputs = graph.outputs.map((one) => one.name);
  outputs.push(...graph.state.map((port) => port.output));
  const states = graph.state.map((port) => port.name);
  for (const [what, names] of Object.entries({ input: inputs, output: outputs, state: states })) {
    const twice = names.find((one, place) => names.indexOf(one) !== place);
    need(twice === undefined, `graphs.${name} has the ${what} ${shown(twice)} twice`);
  }
  need(graph.outputs.length > 0, `graphs.${name}.outputs is empty`);
}

function checkTensors(name, graph) {
  const tensors = [...graph.inputs, ...graph.outputs, ...graph.context, ...graph.state];
  let elements = 0;
  for (const { name: own, dtype, shape } of tensors) {
    const where = `graphs.${name}: '${own}'`;
    need(DTYPES.includes(dtype), `${where} has the dtype ${shown(dtype)}, not one of ours`);
    const sizes = shape.filter((size) => typeof size !== "string");
    need(
      shape[0] === "batch" && sizes.every((size) => size > 0 && size <= LARGEST_SIZE),
      `${where} has the shape ${shown(shape)}: the first axis must be 'batch' and sizes positive`,
    );
    elements += sizes.reduce((product, size) => product * size, 1);
  }
  for (const port of graph.state) {
    need(
      port.shape.slice(1).every((size) => typeof size === "number"),
      `graphs.${name}: the state '${port.name}' has the shape ${shown(port.shape)}: ` +
        "what is carried has a fixed size a row",
    );
  }
  need(
    elements <= LARGEST_ROW,
    `graphs.${name}: one row has ${elements} elements, more than the ${LARGEST_ROW} there may be`,
  );
  for (const context of graph.context) {
    need(
      context.pad_multiple === null || context.pad_multiple > 0,
      `graphs.${name}: '${context.name}' has the pad_multiple ${context.pad_multiple}`,
    );
  }
}

function checkFixed(step) {
  for (const { name, shape } of [...step.inputs, ...step.outputs]) {
    need(
      shape.slice(1).every((size) => typeof size === "number"),
      `graphs.step: '${name}' has the shape ${shown(shape)}, but one step has one free axis, ` +
        "'batch'",
    );
  }
}

function checkSequence(sequence, step) {
  const timed = (tensors) =>
    tensors.map((one) => ({ ...one, shape: ["batch", "time", ...one.shape.slice(1)] }));
  need(
    same(timed(step.inputs), sequence.inputs.slice(0, 1)) &&
      same(timed(step.outputs), sequence.outputs),
    "graphs.sequence must have the inputs and outputs of graphs.step with 'time' as second axis",
  );
  need(
    sameCarried(sequence, step),
    "graphs.sequence and graphs.step must have the same state and the same context",
  );
  need(sequence.active === null, "graphs.sequence has lengths, so it takes no active mask");
}

function checkLengths(name, graph) {
  const { name: own, dtype, shape } = graph.inputs[1];
  need(
    dtype === "int64" && same(shape, ["batch"]),
    `graphs.${name}: the last input must be lengths, int64 [batch], not '${own}' ${dtype} ` +
      shown(shape),
  );
}

function checkEncode(encode) {
  need(
    encode.inputs.length === 2 && encode.inputs[0].shape[1] === "source",
    "graphs.encode must have two inputs, the source [batch, source, …] and its lengths",
  );
  checkLengths("encode", encode);
  need(!carries(encode), "graphs.encode has no state and no context");
}

/** What a step takes from `encode` must come out of it. */
function checkOrigins(step, encode) {
  const made = new Map((encode?.outputs ?? []).map((one) => [one.name, [one.dtype, one.shape]]));
  for (const { name, dtype, shape } of step.context) {
    need(
      same(made.get(name) ?? null, [dtype, shape]),
      `graphs.step: the context '${name}' must be an output of graphs.encode of the same dtype ` +
        "and shape",
    );
  }
  for (const { name, initial, dtype, shape } of step.state) {
    const keys = typeof initial === "string" ? "" : Object.keys(initial).sort().join(" ");
    const fromEncode =
      keys === "from output" &&
      initial.from === "encode" &&
      same(made.get(initial.output) ?? null, [dtype, shape]);
    need(
      initial === "zeros" || keys === "file name" || fromEncode,
      `graphs.step: the state '${name}' must start from an output of graphs.encode of the same ` +
        `dtype and shape, or from an array of a file, not from ${shown(initial)}`,
    );
  }
}

const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

const sameCarried = (a, b) => same(a.state, b.state) && same(a.context, b.context);

const carries = (graph) => graph.state.length + graph.context.length > 0 || graph.active !== null;

function need(kept, fault) {
  if (!kept) {
    throw new BundleError(fault);
  }
}
