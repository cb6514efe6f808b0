/**
 * Every error that treadle.js throws on purpose: the tree and the words of the Python package.
 *
 * TreadleError
 * ├── BundleError    a bundle is missing, damaged, changed, or of a later format
 * ├── InputError     what was given does not fit the model
 * ├── StateError     a stream or a snapshot is used where it cannot be
 * └── DeviceError    the engine is missing, too old, or failed
 *
 * A message says what was expected, what came, and what to do.
 */

export class TreadleError extends Error {
  get name() {
    return this.constructor.name;
  }
}

export class BundleError extends TreadleError {}

export class InputError extends TreadleError {}

export class StateError extends TreadleError {}

export class DeviceError extends TreadleError {}

/** The message of whatever was thrown. */
export function messageOf(error) {
  return error instanceof Error ? error.message : String(error);
}

/** A value as a message shows it: at most 60 characters of JSON. */
export function shown(value) {
  const text = JSON.stringify(value, (_, one) => (typeof one === "bigint" ? String(one) : one));
  return text === undefined ? String(value) : text.slice(0, 60);
}
