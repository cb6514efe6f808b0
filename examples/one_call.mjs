/**
 * Decodes with one call: a file that `treadle export --graph generate --text` wrote, and an engine.
 *
 *     treadle export runs/pronounce --graph generate --text --precision int8 --out pronounce.onnx
 *     npm install onnxruntime-web
 *     node one_call.mjs pronounce.onnx hello world
 *
 * Nothing of Treadle is needed here; Kotlin, Swift, C++ and C# do the same with their own engines.
 * TREADLE_ENGINE names another module of onnxruntime than the one that npm installed.
 */

import { readFileSync } from "node:fs";

const [file, ...texts] = process.argv.slice(2);
if (!file || texts.length === 0) {
  console.error("usage: node one_call.mjs FILE.onnx TEXT…");
  process.exit(2);
}
const engine = await import(process.env.TREADLE_ENGINE ?? "onnxruntime-web");
const session = await engine.InferenceSession.create(readFileSync(file));
const answers = await session.run({
  text: new engine.Tensor("string", texts, [texts.length]),
  max_length: new engine.Tensor("int64", [40n], []),
});
console.log(answers.answer.data.join("\n"));
