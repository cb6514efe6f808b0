/**
 * Runs jobs in Node, one JSON document in on stdin and one out on stdout: what treadle.js answers,
 * for the tests in Python to compare.
 *
 *     {"module": URL of treadle.js, "engine": URL of onnxruntime-web, "jobs": [{"do": …, …}]}
 *
 * A job that throws gives {"error": name, "message": …}.
 */

import { readdirSync, readFileSync } from "node:fs";
import { text } from "node:stream/consumers";

const request = JSON.parse(await text(process.stdin));
const treadle = await import(request.module);
const engine = request.engine ? await import(request.engine) : undefined;
const models = new Map();

/** The files of a bundle's directory as a Map, or the bytes of a packed one. */
function sourceOf(path) {
  if (path.endsWith(".zip")) {
    return new Uint8Array(readFileSync(path));
  }
  return new Map(
    readdirSync(path).map((name) => [name, new Uint8Array(readFileSync(`${path}/${name}`))]),
  );
}

async function model(path, options = {}) {
  const key = JSON.stringify([path, options]);
  if (!models.has(key)) {
    models.set(key, await treadle.load(sourceOf(path), { engine, ...options }));
  }
  return models.get(key);
}

async function gathered(generator) {
  const made = [];
  for await (const symbol of generator) {
    made.push(symbol);
  }
  return made;
}

/** Outputs by name as lists, int64 as numbers. */
function lists(outputs) {
  return Object.fromEntries(
    Object.entries(outputs).map(([name, { dims, data }]) => [
      name,
      { dims, data: Array.from(data, Number) },
    ]),
  );
}

const DOING = {
  open: async ({ bundle }) => (await treadle.openBundle(sourceOf(bundle))).manifest.digest,
  replay: async ({ bundle }) => await treadle.replay(await model(bundle)),
  generate: async ({ bundle, prompt, options }) =>
    await gathered((await model(bundle)).generate(prompt, options)),
  running: async ({ bundle, given, options }) =>
    await gathered((await model(bundle)).running(given, options)),
  complete: async ({ bundle, prompts, options }) =>
    await (await model(bundle)).complete(prompts, options),
  transduce: async ({ bundle, texts, options, unknown = "error" }) =>
    await (await model(bundle, { unknown })).transduce(texts, options),
  uniform: async ({ seed, draws }) =>
    draws.map(([row, step]) => treadle.uniform(BigInt(seed), row, step)),
  draw: async ({ options, logits, draws, made }) => {
    const seed = BigInt(options.seed ?? 0);
    const sampler = new treadle.Sampler({ ...options, seed });
    return draws.map(([row, step], at) =>
      sampler.draw(Float32Array.from(logits[at]), row, step, made[at]),
    );
  },
  encode: async ({ bundle, role, texts, unknown = "error" }) => {
    const vocabulary = (await model(bundle)).vocabularies[role];
    return texts.map((one) => vocabulary.encode(one, { unknown }));
  },
  vocabulary: async ({ document, texts, unknown = "error" }) => {
    const vocabulary = new treadle.Vocabulary(document);
    return texts.map((one) => {
      const ids = vocabulary.encode(one, { unknown });
      return { ids, text: vocabulary.text(ids) };
    });
  },
  // One stream, one call after the other: [method, arguments…]; what each gave.
  stream: async ({ bundle, opening = {}, calls, from }) => {
    const opened = await model(bundle);
    const stream =
      from === undefined
        ? await opened.stream(opening)
        : await opened.resume(await treadle.Snapshot.fromBytes(Buffer.from(from, "base64")));
    const given = [];
    for (const [method, ...values] of calls) {
      const made = await stream[method](...values);
      if (method === "snapshot") {
        given.push(Buffer.from(made.toBytes()).toString("base64"));
      } else {
        given.push(
          made === undefined ? null : lists(made instanceof Map ? Object.fromEntries(made) : made),
        );
      }
    }
    return { given, steps: stream.steps };
  },
  // What a program does, as source text with `model`, `stream` and `treadle` in scope.
  program: async ({ bundle, opening = {}, code }) => {
    const opened = await model(bundle);
    const stream = await opened.stream(opening);
    const Run = Object.getPrototypeOf(async () => {}).constructor;
    return (await new Run("model", "stream", "treadle", code)(opened, stream, treadle)) ?? null;
  },
};

const answers = [];
for (const job of request.jobs) {
  try {
    answers.push(await DOING[job.do](job));
  } catch (error) {
    answers.push({ error: error.name, message: error.message });
  }
}
process.stdout.write(JSON.stringify(answers));
