/** An opened bundle: its sessions, made when needed, and the streams that run it. */

import { copied, gathered, Reading, zeros } from "./arrays.js";
import { checkEngine, openSession } from "./engine.js";
import { BundleError, InputError, messageOf, StateError } from "./errors.js";
import { SOURCE_MULTIPLE, TASKS } from "./manifest.js";
import { readNpz } from "./npz.js";
import { lengthsOf } from "./sequence.js";
import { checkSnapshot, contextTensors, Snapshot } from "./snapshot.js";
import { Stream } from "./stream.js";
import { Vocabulary } from "./vocabulary.js";

/**
 * A model of any task. Streams of one model may be used side by side.
 *
 * manifest: what the bundle says of itself. vocabularies: by role. unknown: see `load`.
 * onCall: null, or a function that is told of every call of the engine: (graph, milliseconds).
 */
export class Model {
  onCall = null;
  #engine;
  #threads;
  #learned;
  #sessions = new Map();
  #closed = false;

  /** Made by `load`. */
  constructor(bundle, engine, learned, { threads, unknown }) {
    if (!["error", "symbol"].includes(unknown)) {
      throw new InputError(`unknown must be "error" or "symbol", got ${unknown}`);
    }
    checkEngine(engine, bundle.manifest.requires.onnxruntime);
    this.bundle = bundle;
    this.manifest = bundle.manifest;
    this.unknown = unknown;
    this.vocabularies = {};
    for (const [role, file] of Object.entries(bundle.manifest.vocabularies)) {
      this.vocabularies[role] = new Vocabulary(bundle.json(file));
    }
    this.#engine = engine;
    this.#threads = threads;
    this.#learned = learned;
  }

  /** The engine's session of a graph, opened when first asked for and then kept. */
  async session(name) {
    if (this.#closed) {
      throw new StateError(`the model ${this.manifest.name} is closed; load it again`);
    }
    const graph = this.manifest.graphs[name];
    if (graph === undefined) {
      const names = Object.keys(this.manifest.graphs).join(", ");
      throw new BundleError(`${this.bundle.shown} has no graph '${name}'; it has ${names}`);
    }
    if (!this.#sessions.has(name)) {
      this.#sessions.set(name, openSession(this.#engine, this.bundle, graph, this.#threads));
    }
    return await this.#sessions.get(name);
  }

  /** The engine's tensor over the data of an array. */
  tensor({ type, dims, data }) {
    return new this.#engine.Tensor(type, data, dims);
  }

  /**
   * One call of a graph: its inputs in order, state and context by name. Resolves to the outputs
   * by name and the state after it. The engine writes into tensors of its own: outputs that it is
   * given are not filled in WebAssembly.
   */
  async call(name, inputs, state = new Map(), context = new Map()) {
    const graph = this.manifest.graphs[name];
    const session = await this.session(name);
    const feeds = {};
    graph.inputs.forEach((tensor, place) => {
      feeds[tensor.name] = this.#asTensor(inputs[place]);
    });
    for (const { name: own } of graph.context) {
      feeds[own] = this.#asTensor(context.get(own));
    }
    for (const port of graph.state) {
      feeds[port.input] = this.#asTensor(state.get(port.name));
    }
    const start = performance.now();
    const made = await session.run(feeds);
    this.onCall?.(name, performance.now() - start);
    return {
      outputs: Object.fromEntries(graph.outputs.map((tensor) => [tensor.name, made[tensor.name]])),
      state: new Map(graph.state.map((port) => [port.name, made[port.output]])),
    };
  }

  #asTensor(array) {
    return array instanceof this.#engine.Tensor ? array : this.tensor(array);
  }

  /** What a graph's first input may hold at one time step. */
  reading(name) {
    const vocabulary = this.vocabularies[TASKS[this.manifest.task].vocabularies[name]];
    return new Reading(this.manifest.graphs[name].inputs[0], vocabulary?.size ?? null);
  }

  /**
   * A new stream in the initial state.
   *
   * source: what an encoder reads, a list of ids (or of vectors) for each row, which are then the
   * stream's rows; other models take `batchSize`. Rejects with InputError for a source that is
   * missing, does not fit, or has an empty row; StateError for a model that reads backwards.
   */
  async stream({ source = null, sourceLengths = null, batchSize = 1 } = {}) {
    const { graphs, name } = this.manifest;
    if (!("step" in graphs)) {
      throw new StateError(
        `${name} reads whole sequences: a layer of it reads backwards, from the end that a ` +
          "stream does not have yet, so it carries no state and cannot step",
      );
    }
    if ("encode" in graphs === (source === null)) {
      throw new InputError(
        source === null
          ? `${name} reads a source: stream({ source })`
          : `${name} reads no source; call stream() without it`,
      );
    }
    if (!Number.isInteger(batchSize) || batchSize < 1) {
      throw new InputError(`batchSize should be an integer of at least 1, got ${batchSize}`);
    }
    await this.session("step"); // what is wrong with it is said now, not at the first step
    const { context, origins } =
      source === null
        ? { context: new Map(), origins: null }
        : await this.#encode(source, sourceLengths);
    const rows = origins?.length ?? batchSize;
    const state = this.initialState(context, rows);
    const start = new Snapshot(this.manifest.digest, state, context, Array(rows).fill(0));
    return new Stream(this, start, origins);
  }

  /** A new stream that goes on from `snapshot`. Rejects with StateError when it does not fit. */
  async resume(snapshot) {
    checkSnapshot(snapshot, this.manifest);
    await this.session("step");
    return new Stream(this, snapshot);
  }

  /** What rows start from: Map name -> array [batch, …]; `context` as `encode` gave it. */
  initialState(context, rows) {
    const state = new Map();
    for (const { name, dtype, shape, initial } of this.manifest.graphs.step.state) {
      if (this.#learned.has(name)) {
        const { type, dims, data } = this.#learned.get(name);
        state.set(name, gathered({ type, dims: [1, ...dims], data }, Array(rows).fill(0)));
      } else if (initial.output !== undefined) {
        state.set(name, copied(context.get(initial.output)));
      } else {
        state.set(name, zeros(dtype, [rows, ...shape.slice(1)]));
      }
    }
    return state;
  }

  /** What `encode` gives for each row; rows that are equal, as those of a beam, are read once. */
  async #encode(source, sourceLengths) {
    const steps = this.manifest.task === "generation" ? 1 : null;
    const reading = this.reading("encode");
    const { x, lengths } = reading.sequences(source, sourceLengths, "source", { least: 1 });
    if (steps !== null && lengths.some((length) => length !== steps)) {
      throw new InputError(`a source of ${this.manifest.name} should have ${steps} step`);
    }
    const size = x.data.length / x.dims[0];
    const firsts = new Map();
    const unique = [];
    const origins = lengths.map((length, row) => {
      const key = `${length}:${x.data.subarray(row * size, (row + 1) * size).join()}`;
      if (!firsts.has(key)) {
        firsts.set(key, unique.push(row) - 1);
      }
      return firsts.get(key);
    });
    const inputs = [widened(gathered(x, unique)), lengthsOf(unique.map((row) => lengths[row]))];
    const { outputs } = await this.call("encode", inputs);
    const names = [...contextTensors(this.manifest).keys()];
    const context = new Map(names.map((name) => [name, gathered(outputs[name], origins)]));
    return { context, origins };
  }

  /** Let go of the sessions. Streams cannot be used after it. */
  async close() {
    this.#closed = true;
    const sessions = [...this.#sessions.values()];
    this.#sessions.clear();
    for (const session of await Promise.allSettled(sessions)) {
      await session.value?.release();
    }
  }
}

/** A memory of another padded width would change the last bits of a softmax over it. */
function widened(x) {
  const [rows, columns, ...features] = x.dims;
  const width = Math.ceil(columns / SOURCE_MULTIPLE) * SOURCE_MULTIPLE;
  const made = zeros(x.type, [rows, width, ...features]);
  const size = x.data.length / (rows * columns);
  for (let row = 0; row < rows; row++) {
    const from = x.data.subarray(row * columns * size, (row + 1) * columns * size);
    made.data.set(from, row * width * size);
  }
  return made;
}

/**
 * States that start from rows of the bundle's own: Map state -> its row. Rejects with BundleError,
 * naming file and state, for an array that is missing or does not fit.
 */
export async function readInitial(bundle) {
  const files = new Map();
  const rows = new Map();
  for (const { name, dtype, shape, initial, bound } of bundle.manifest.graphs.sequence.state) {
    if (initial.file !== undefined) {
      if (!files.has(initial.file)) {
        files.set(initial.file, await arraysIn(bundle, initial.file));
      }
      const array = files.get(initial.file).get(initial.name);
      const most = bound ?? 3.4028234663852886e38;
      const fits = array?.type === dtype && array.dims.join() === shape.slice(1).join();
      if (!fits || !array.data.every((value) => Math.abs(value) <= most)) {
        throw new BundleError(
          `expected the state '${name}' to start from an array ${dtype} ` +
            `[${shape.slice(1).join(", ")}] within its bound in ${initial.file}; ` +
            "export the bundle again",
        );
      }
      rows.set(name, array);
    }
  }
  return rows;
}

async function arraysIn(bundle, file) {
  try {
    return await readNpz(bundle.read(file));
  } catch (error) {
    throw new BundleError(
      `expected initial states in ${bundle.shown}/${file}, got a file that is no .npz or is ` +
        `damaged (${messageOf(error)}); export the bundle again`,
    );
  }
}
