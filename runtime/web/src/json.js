/**
 * JSON read with its numbers as they are written, and the one way to write it that digests are
 * taken of (docs/bundle-format.md, "Canonical JSON").
 *
 * JSON.parse makes 1 and 1.0 the same number, and a digest would not be the same any more. So a
 * document becomes a tree here: Map for objects, arrays, strings, booleans and null; integers as
 * number (bigint where that would round), all other numbers as Float.
 */

import { BundleError, messageOf } from "./errors.js";

const TOKENS = /[[\]{}:,]|"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*|true|false|null/g;

/** A number that is no integer in JSON, or in the format: 1.0 is one, 1 is not. */
export class Float {
  constructor(value) {
    this.value = value;
  }
}

/** The tree of a JSON document. Throws BundleError that begins with `what` for anything else. */
export function parseTree(text, what) {
  try {
    JSON.parse(text); // the grammar; what follows may rely on it
  } catch (error) {
    throw new BundleError(`${what} is not a JSON document: ${messageOf(error)}`);
  }
  const open = [];
  let made;
  for (const [token] of text.matchAll(TOKENS)) {
    if (token === "{" || token === "[") {
      open.push({ kind: token, values: [] });
    } else if (token === "}" || token === "]") {
      const { kind, values } = open.pop();
      made = place(open, kind === "[" ? values : new Map(pairs(values)));
    } else if (token !== "," && token !== ":") {
      made = place(open, scalar(token, what));
    }
  }
  return made;
}

function place(open, value) {
  open.at(-1)?.values.push(value);
  return value;
}

function* pairs(values) {
  for (let i = 0; i < values.length; i += 2) {
    yield [values[i], values[i + 1]];
  }
}

function scalar(token, what) {
  if (!/^[-\d]/.test(token)) {
    return JSON.parse(token);
  }
  const value = Number(token);
  if (/[.eE]/.test(token)) {
    if (!Number.isFinite(value)) {
      throw new BundleError(`${what} is not a JSON document: ${token} is no float64`);
    }
    return new Float(value);
  }
  return Number.isSafeInteger(value) ? value + 0 : BigInt(token);
}

/** A tree as ordinary values: objects, arrays, numbers. */
export function plain(tree) {
  if (tree instanceof Map) {
    return Object.fromEntries([...tree].map(([key, value]) => [key, plain(value)]));
  }
  if (Array.isArray(tree)) {
    return tree.map(plain);
  }
  return tree instanceof Float ? tree.value : tree;
}

/** The canonical text of a tree: keys by code point, no white space, ASCII, Python's numbers. */
export function canonical(tree) {
  if (tree instanceof Map) {
    const keys = [...tree.keys()].sort(byCodePoint);
    return `{${keys.map((key) => `${ascii(key)}:${canonical(tree.get(key))}`).join(",")}}`;
  }
  if (Array.isArray(tree)) {
    return `[${tree.map(canonical).join(",")}]`;
  }
  if (tree instanceof Float) {
    return pythonFloat(tree.value);
  }
  // An integer of -0 is 0 there.
  return typeof tree === "string" ? ascii(tree) : tree === 0 ? "0" : String(tree);
}

/** Strings in the order of their code points; JavaScript's own order is that of UTF-16 units. */
export function byCodePoint(a, b) {
  const left = Array.from(a);
  const right = Array.from(b);
  const length = Math.min(left.length, right.length);
  for (let i = 0; i < length; i++) {
    if (left[i] !== right[i]) {
      return left[i].codePointAt(0) - right[i].codePointAt(0);
    }
  }
  return left.length - right.length;
}

function ascii(text) {
  return JSON.stringify(text).replace(
    /[^ -~]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** A float64 as Python's repr writes it: the same digits as here, other exponents. */
export function pythonFloat(value) {
  if (value === 0) {
    return Object.is(value, -0) ? "-0.0" : "0.0";
  }
  const [digits, power] = value.toExponential().split("e");
  const exponent = Number(power);
  if (exponent < -4 || exponent >= 16) {
    const size = String(Math.abs(exponent)).padStart(2, "0");
    return `${digits}e${exponent < 0 ? "-" : "+"}${size}`;
  }
  const sign = value < 0 ? "-" : "";
  const all = digits.replace(/[-.]/g, "");
  if (exponent < 0) {
    return `${sign}0.${"0".repeat(-exponent - 1)}${all}`;
  }
  const whole = all.slice(0, exponent + 1).padEnd(exponent + 1, "0");
  return `${sign}${whole}.${all.slice(exponent + 1) || "0"}`;
}
