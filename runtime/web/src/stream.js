/** A model run one step at a time, its state carried, named and never shared. */

import { checkRows, copied, gathered, scatter, zeros } from "./arrays.js";
import { DeviceError, InputError, messageOf, StateError, TreadleError } from "./errors.js";
import { readSpans } from "./sequence.js";
import { checkSnapshot, Snapshot } from "./snapshot.js";

/**
 * `batchSize` rows, each its own sequence. Made by `Model.stream`.
 *
 * Outputs are arrays {type, dims, data} by name, which nothing overwrites; the state cannot be
 * reached to be written. One call at a time may use a stream: a second one while it runs, and any
 * after `close`, throws StateError. An InputError leaves the state as it was.
 */
export class Stream {
  #model;
  #reading;
  #state;
  #context;
  #origins;
  #steps;
  #x;
  #busy = false;
  #closed = false;

  /** `origins`: a number for each row that rows of the same source share. */
  constructor(model, start, origins = null) {
    this.#model = model;
    this.#reading = model.reading("step");
    this.#fill(start, origins);
    // One input for all steps: it is written anew, and the engine copies what it reads.
    this.#x = model.tensor(zeros(this.#reading.type, [this.batchSize, ...this.#reading.features]));
  }

  #fill(start, origins) {
    this.#state = start.state;
    this.#context = this.#bound(start.context);
    this.#origins = origins ?? start.steps.map((_, row) => row);
    this.#steps = start.steps;
  }

  /** Context as the engine's tensors, made once: no step changes it. */
  #bound(context) {
    return new Map([...context].map(([name, array]) => [name, this.#model.tensor(array)]));
  }

  get batchSize() {
    return this.#steps.length;
  }

  /** Steps made by each row since its start or reset. */
  get steps() {
    return [...this.#steps];
  }

  /**
   * One time step: `x` is an id for each row (a number alone for one row), or [batch, features].
   * Resolves to the outputs [batch, …] by name. Rejects with InputError for another size, an id
   * out of range or a number that is not finite.
   */
  async step(x) {
    return await this.#turn(async () => {
      this.#reading.step(x, this.batchSize, this.#x.data);
      const made = await this.#model.call("step", [this.#x], this.#state, this.#context);
      // The engine gives new tensors at every call, and those become what the next one reads.
      this.#state = made.state;
      this.#steps = this.#steps.map((steps) => steps + 1);
      return made.outputs;
    });
  }

  /**
   * Read a list of steps for each row; the outputs [batch, …] at each row's last step. A row of
   * length 0 keeps its state, and its outputs are 0. `lengths` may cut rows.
   */
  async feed(x, lengths = null) {
    const name = "prompt" in this.#model.manifest.graphs ? "prompt" : "sequence";
    return await this.#read(x, lengths, name, (outputs, read) => {
      const last = outputs;
      return (made, rows, first, counts) => {
        for (const [output, array] of Object.entries(made)) {
          const ends = rows.flatMap((row, place) =>
            first + counts[place] === read.lengths[row] ? [place] : [],
          );
          const at =
            name === "prompt"
              ? ends
              : ends.map((place) => place * array.dims[1] + counts[place] - 1);
          const steps = name === "prompt" ? array : merged(array);
          scatter(
            last[output],
            ends.map((place) => rows[place]),
            gathered(steps, at),
          );
        }
      };
    });
  }

  /** As `feed`, but the outputs of every step, [batch, time, …], zero where padded. */
  async unroll(x, lengths = null) {
    return await this.#read(x, lengths, "sequence", (outputs, read) => {
      const columns = read.x.dims[1];
      for (const [name, array] of Object.entries(outputs)) {
        outputs[name] = zeros(array.type, [this.batchSize, columns, ...array.dims.slice(1)]);
      }
      return (made, rows, first) => {
        for (const [name, array] of Object.entries(made)) {
          const [, wide] = array.dims;
          rows.forEach((row, place) => {
            const places = Array.from(
              { length: wide },
              (_, column) => row * columns + first + column,
            );
            const from = Array.from({ length: wide }, (_, column) => place * wide + column);
            scatter(merged(outputs[name]), places, gathered(merged(array), from));
          });
        }
      };
    });
  }

  /** What `feed` and `unroll` share; `collect` makes what looks at every span's outputs. */
  async #read(x, lengths, name, collect) {
    return await this.#turn(async () => {
      const read = this.#reading.sequences(x, lengths, "time", {
        least: 0,
        batchSize: this.batchSize,
      });
      const outputs = {};
      for (const { name: output, dtype, shape } of this.#model.manifest.graphs.step.outputs) {
        outputs[output] = zeros(dtype, [this.batchSize, ...shape.slice(1)]);
      }
      const look = collect(outputs, read);
      this.#state = await readSpans(this.#model, name, read, this.#state, this.#context, look);
      this.#steps = this.#steps.map((steps, row) => steps + read.lengths[row]);
      return outputs;
    });
  }

  /** Copies of the state: Map name -> array [batch, …]. */
  state() {
    this.#check();
    return new Map([...this.#state].map(([name, array]) => [name, copied(array)]));
  }

  /** All that is needed to go on from here, on this page or another. */
  snapshot() {
    this.#check();
    return new Snapshot(this.#model.manifest.digest, this.#state, this.#context, this.#steps);
  }

  /** Go on from `snapshot`, its context included. Throws StateError for one that does not fit. */
  restore(snapshot) {
    this.#check();
    checkSnapshot(snapshot, this.#model.manifest);
    if (snapshot.batchSize !== this.batchSize) {
      throw new StateError(
        `the snapshot has ${snapshot.batchSize} rows, but this stream has ${this.batchSize}; ` +
          "open one for it with Model.resume(snapshot)",
      );
    }
    this.#fill(snapshot, null);
  }

  /** A stream that goes on from here on its own. */
  fork() {
    return new Stream(this.#model, this.snapshot(), this.#origins);
  }

  /** Take rows (all, or a list of them) back to their initial state; what was encoded stays. */
  reset(rows = null) {
    this.#check();
    const chosen = rows === null ? [...this.#steps.keys()] : checkRows(rows, this.batchSize);
    const initial = this.#model.initialState(this.#context, this.batchSize);
    const state = this.state();
    for (const [name, array] of state) {
      scatter(array, chosen, gathered(initial.get(name), chosen));
    }
    this.#state = state;
    this.#steps = this.#steps.map((steps, row) => (chosen.includes(row) ? 0 : steps));
  }

  /** Let row i go on as row rows[i] was: state, context and steps, as beam search needs it. */
  select(rows) {
    this.#check();
    const chosen = checkRows(rows, this.batchSize);
    if (chosen.length !== this.batchSize) {
      throw new InputError(
        `select needs one index for each of ${this.batchSize} rows, got ${chosen.length}`,
      );
    }
    const moved = (arrays) =>
      new Map([...arrays].map(([name, array]) => [name, gathered(array, chosen)]));
    this.#state = moved(this.#state);
    // Context is large, and the rows of one beam share theirs: nothing to move then.
    if (chosen.some((row, place) => this.#origins[row] !== this.#origins[place])) {
      this.#context = this.#bound(moved(this.#context));
    }
    this.#origins = chosen.map((row) => this.#origins[row]);
    this.#steps = chosen.map((row) => this.#steps[row]);
  }

  /** Let go of the state. Closing twice is allowed; while a call runs it throws StateError. */
  close() {
    if (this.#busy) {
      throw inUse();
    }
    this.#closed = true;
    this.#state = new Map();
    this.#context = new Map();
  }

  #check() {
    if (this.#busy) {
      throw inUse();
    }
    if (this.#closed) {
      throw new StateError("this stream is closed; open another with Model.stream");
    }
  }

  /** Hold the stream for one call. */
  async #turn(work) {
    this.#check();
    this.#busy = true;
    try {
      return await work();
    } catch (error) {
      throw error instanceof TreadleError
        ? error
        : new DeviceError(
            `onnxruntime-web failed to run the model: ${messageOf(error)}; the state is as it was`,
          );
    } finally {
      this.#busy = false;
    }
  }
}

/** An array [batch, time, …] with its first two axes as one; the same data. */
function merged({ type, dims, data }) {
  return { type, dims: [dims[0] * dims[1], ...dims.slice(2)], data };
}

function inUse() {
  return new StateError(
    "this stream is in use by another call, which would mix their states; await each call " +
      "before the next, or open a stream for each: Model.stream or Stream.fork",
  );
}
