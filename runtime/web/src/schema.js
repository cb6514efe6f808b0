/**
 * Strict reading of a JSON tree (json.js): every fault is named by its path.
 *
 * A reader takes (value, path) and gives the value back as the canonical form has it, defaults
 * written out and integers of a float field as Float, or throws BundleError.
 */

import { BundleError, shown } from "./errors.js";
import { Float, plain } from "./json.js";

function fail(path, expected, value) {
  throw new BundleError(
    `${path || "the document"} must be ${expected}, got ${shown(plain(value))}`,
  );
}

export const anything = (value) => value;

export const text = (value, path) =>
  typeof value === "string" ? value : fail(path, "a string", value);

const isInteger = (value) => typeof value === "number" || typeof value === "bigint";

export const integer = (value, path) =>
  isInteger(value) ? value : fail(path, "an integer", value);

export function number(value, path) {
  if (value instanceof Float) {
    return value;
  }
  return isInteger(value) ? new Float(Number(value)) : fail(path, "a number", value);
}

export const nullable = (reader) => (value, path) => (value === null ? null : reader(value, path));

export const either = (first, test, second) => (value, path) =>
  test(value) ? first(value, path) : second(value, path);

export const exactly = (expected) => (value, path) =>
  value === expected ? value : fail(path, `one of ['${expected}']`, value);

export const listOf = (reader) => (value, path) =>
  Array.isArray(value)
    ? value.map((item, place) => reader(item, `${path}[${place}]`))
    : fail(path, "a list", value);

export const objectOf = (reader) => (value, path) =>
  value instanceof Map
    ? new Map([...value].map(([key, item]) => [key, reader(item, join(path, key))]))
    : fail(path, "an object", value);

/** An object with these fields and no other; `defaults` are those that may be missing. */
export const record =
  (fields, defaults = {}) =>
  (value, path) => {
    if (!(value instanceof Map)) {
      fail(path, "an object", value);
    }
    for (const key of value.keys()) {
      if (!Object.hasOwn(fields, key)) {
        const known = Object.keys(fields).join(", ");
        throw new BundleError(
          `${join(path, key)} is not a field of the format; the fields here are ${known}`,
        );
      }
    }
    return new Map(Object.keys(fields).map((key) => [key, fieldOf(value, key)]));

    function fieldOf(tree, key) {
      if (tree.has(key)) {
        return fields[key](tree.get(key), join(path, key));
      }
      if (!Object.hasOwn(defaults, key)) {
        throw new BundleError(`${join(path, key)} is missing`);
      }
      return defaults[key];
    }
  };

function join(path, key) {
  return path ? `${path}.${key}` : key;
}
