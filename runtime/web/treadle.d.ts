/** Types of treadle.js; what each thing does is said in the modules under src/. */

/** Numbers with a shape, rows one after another. */
export interface NamedArray {
  readonly type: "float32" | "int64" | "bool" | string;
  readonly dims: readonly number[];
  readonly data: Float32Array | BigInt64Array | Uint8Array;
}

/** Outputs of a graph by name; each call of the engine makes new ones. */
export type Outputs = Record<string, NamedArray>;

export class TreadleError extends Error {}
/** A bundle is missing, damaged, changed, or of a later format. */
export class BundleError extends TreadleError {}
/** What was given does not fit the model. */
export class InputError extends TreadleError {}
/** A stream or a snapshot is used where it cannot be: closed, in use, or another model's. */
export class StateError extends TreadleError {}
/** The engine is missing, too old, or failed. */
export class DeviceError extends TreadleError {}

export interface TensorSpec {
  name: string;
  dtype: "float32" | "int64" | "bool";
  shape: (string | number)[];
}

export interface StatePort extends TensorSpec {
  input: string;
  output: string;
  initial: "zeros" | { from: "encode"; output: string } | { file: string; name: string };
  bound: number | null;
}

export interface Graph {
  file: string;
  inputs: TensorSpec[];
  outputs: TensorSpec[];
  context: (TensorSpec & { from: "encode"; pad_multiple: number | null; pad_value: number })[];
  state: StatePort[];
  active: string | null;
}

/** manifest.json: see "The bundle format" in Treadle's documentation. */
export interface Manifest {
  format: "treadle-bundle/1";
  name: string;
  task: string;
  digest: string;
  files: Record<string, { sha256: string; bytes: number }>;
  graphs: Record<string, Graph>;
  vocabularies: Record<string, string>;
  decoding: Record<string, unknown>;
  precision: string;
  plan: Record<string, unknown>;
  target: string;
  requires: Record<string, unknown>;
  evidence: Record<string, unknown>;
  evaluation: Record<string, unknown>;
  licence: Record<string, unknown>;
  provenance: Record<string, unknown>;
  seal: string;
}

export type Bytes = Uint8Array | ArrayBuffer | Blob;
/** The URL of a bundle or of a packed one, the bytes of a packed one, or files by name. */
export type Source = string | URL | Bytes | Map<string, Bytes>;

export class Bundle {
  private constructor();
  readonly manifest: Manifest;
  readonly shown: string;
  read(name: string): Uint8Array;
  json(name: string): unknown;
}

export function openBundle(source: Source): Promise<Bundle>;

export class Vocabulary {
  constructor(document: unknown);
  readonly kind: "characters" | "symbols" | "words" | "subwords";
  readonly symbols: readonly string[];
  readonly padding: number | null;
  readonly start: number | null;
  readonly end: number | null;
  readonly unknown: number | null;
  readonly size: number;
  readonly space: string;
  encode(text: string, options?: { unknown?: "error" | "symbol" }): number[];
  encodeSymbols(symbols: string[], options?: { unknown?: "error" | "symbol" }): number[];
  split(text: string): string[];
  decode(ids: Iterable<number>): string[];
  text(ids: Iterable<number>): string;
}

/** What a stream carries at one moment; what it hands out are copies. */
export class Snapshot {
  constructor(
    digest: string,
    state: Map<string, NamedArray>,
    context: Map<string, NamedArray>,
    steps: number[],
  );
  readonly digest: string;
  readonly batchSize: number;
  readonly steps: number[];
  readonly state: Map<string, NamedArray>;
  readonly context: Map<string, NamedArray>;
  toBytes(): Uint8Array;
  static fromBytes(bytes: Uint8Array): Promise<Snapshot>;
}

export type Numbers = number[] | Float32Array | Float64Array | Int32Array | BigInt64Array;
/** One step: an id for one row, ids [batch], or numbers [batch, features], nested or flat. */
export type StepInput = number | Numbers | Numbers[];
/** For each row its steps: ids, or numbers, nested or flat. */
export type SequenceInput = (Numbers | Numbers[])[];

export class Stream {
  private constructor();
  readonly batchSize: number;
  readonly steps: number[];
  step(x: StepInput): Promise<Outputs>;
  feed(x: SequenceInput, lengths?: number[] | null): Promise<Outputs>;
  unroll(x: SequenceInput, lengths?: number[] | null): Promise<Outputs>;
  state(): Map<string, NamedArray>;
  snapshot(): Snapshot;
  restore(snapshot: Snapshot): void;
  fork(): Stream;
  reset(rows?: number[] | null): void;
  select(rows: number[]): void;
  close(): void;
}

export interface SamplingOptions {
  temperature?: number;
  topK?: number | null;
  topP?: number | null;
  minP?: number | null;
  repetitionPenalty?: number;
  seed?: number | bigint;
}

export interface ContinuingOptions extends SamplingOptions {
  maxLength: number;
  stop?: string | string[];
}

export interface SearchOptions extends SamplingOptions {
  maxLength?: number;
  beam?: number;
  nBest?: number;
  lengthNormalization?: number;
  stop?: string | string[];
}

export interface Hypothesis {
  symbols: string[];
  ids: number[];
  text: string;
  score: number;
  finished: boolean;
}

export class Sampler {
  constructor(options?: SamplingOptions);
  draw(logits: ArrayLike<number>, row: number, step: number, made?: Iterable<number>): number;
  weights(logits: ArrayLike<number>): Float64Array;
}

export class Model {
  protected constructor();
  readonly bundle: Bundle;
  readonly manifest: Manifest;
  readonly vocabularies: Record<string, Vocabulary>;
  readonly unknown: "error" | "symbol";
  onCall: ((graph: string, milliseconds: number) => void) | null;
  stream(options?: {
    source?: SequenceInput | null;
    sourceLengths?: number[] | null;
    batchSize?: number;
  }): Promise<Stream>;
  resume(snapshot: Snapshot): Promise<Stream>;
  close(): Promise<void>;
}

export class LanguageModel extends Model {
  generate(prompt: string, options: ContinuingOptions): AsyncGenerator<string, void>;
  complete(
    prompts: string | string[],
    options: SearchOptions & { maxLength: number },
  ): Promise<Hypothesis[][]>;
}

export class Transducer extends Model {
  transduce(texts: string | string[], options?: SearchOptions): Promise<Hypothesis[][]>;
}

export class Generator extends Model {
  readonly labels: readonly string[];
  running(
    given: string | Numbers,
    options?: Partial<ContinuingOptions> & { prompt?: string },
  ): AsyncGenerator<string, void>;
}

export interface Replayed {
  /** Steps that were carried from the start, and at how many the largest output differed. */
  steps: number;
  flips: number;
  /** At how many places outputs and states were compared, and their largest differences. */
  checkpoints: number;
  outputs: number;
  states: number;
}

export function replay(
  model: Model,
  onStep?: (step: number, steps: number) => void | Promise<void>,
): Promise<Replayed>;

export function philox4x32(
  counter: [number, number, number, number],
  key: [number, number],
): [number, number, number, number];
export function uniform(seed: bigint, row: number, step: number): number;

/** `engine` is the module onnxruntime-web, where it is not imported by its name. */
export interface LoadOptions {
  engine?: unknown;
  threads?: number;
  unknown?: "error" | "symbol";
}

/** A LanguageModel, Transducer, Generator, or a Model for any other task. */
export function load<Kind extends Model = Model>(
  source: Source,
  options?: LoadOptions,
): Promise<Kind>;
