/**
 * Open a bundle: every file there, whole, unchanged. Runs no code.
 */

import { sha256 } from "./digest.js";
import { BundleError, InputError, messageOf } from "./errors.js";
import { MANIFEST_FILE, readManifest, SIGNATURE_FILE } from "./manifest.js";
import { readZip, STORED } from "./zip.js";

const FETCH_AGAIN = "fetch or export the bundle again";
/** Bytes of the manifest of a packed bundle. */
const MANIFEST_LIMIT = 4 * 2 ** 20;
const FILE_KIND = 0o170000;
const PLAIN_FILE = 0o100000;

/** A checked bundle: what its manifest says, and the content of its files. */
export class Bundle {
  #files;

  /** Made by `openBundle`. */
  constructor(manifest, files, shown) {
    this.manifest = manifest;
    this.shown = shown;
    this.#files = files;
  }

  /** The content of a file that the manifest lists, not to be written to. Throws BundleError. */
  read(name) {
    const content = this.#files.get(name);
    if (content === undefined) {
      const listed = [...this.#files.keys()].join(", ");
      throw new BundleError(`${this.shown} lists no file '${name}'; it lists ${listed}`);
    }
    return content;
  }

  /** The JSON document in a file. Throws BundleError. */
  json(name) {
    try {
      return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(this.read(name)));
    } catch (error) {
      throw new BundleError(`cannot read ${this.shown}/${name}: ${messageOf(error)}`);
    }
  }
}

/**
 * The bundle in `source`, after checking all of it.
 *
 * `source` is the URL of a bundle's directory, or of a zip that `treadle pack` made; the bytes of
 * such a zip (Uint8Array, ArrayBuffer or Blob); or the files of a directory: a Map of their names
 * to any of these three.
 *
 * Rejects with BundleError, naming the file, what was expected and what is there, when a file is
 * missing, damaged or changed, when the manifest is malformed or of a later format, and when a zip
 * holds anything else; with InputError when `source` is none of these.
 */
export async function openBundle(source) {
  if (typeof source === "string" || source instanceof URL) {
    return await openUrl(String(source));
  }
  if (source instanceof Map) {
    return await opened(
      (name) => bytesOf(source.get(name)),
      () => {},
      "<files>",
    );
  }
  const bytes = await bytesOf(source);
  if (bytes === undefined) {
    throw new InputError(
      "expected the URL of a bundle, the bytes of a packed one or a Map of its files, got " +
        (source?.constructor?.name ?? String(source)),
    );
  }
  return await openPacked(bytes, "<bytes>");
}

async function openUrl(url) {
  const path = url.split(/[?#]/)[0];
  if (path.endsWith(".zip")) {
    const bytes = await fetched(url);
    if (bytes === undefined) {
      throw new BundleError(`expected a packed bundle at ${url}, got nothing; check the address`);
    }
    return await openPacked(bytes, url);
  }
  const base = path.endsWith("/") ? path : `${path}/`;
  const reader = (name) => fetched(base + encodeURIComponent(name));
  return await opened(reader, () => {}, path.replace(/\/$/, ""));
}

/** The bytes at an address, undefined where there is nothing. Rejects with BundleError. */
async function fetched(url) {
  let response;
  try {
    response = await fetch(url);
    if (response.ok) {
      return new Uint8Array(await response.arrayBuffer());
    }
  } catch (error) {
    throw new BundleError(`cannot fetch ${url}: ${messageOf(error)}; check address and connection`);
  }
  if (response.status === 404 || response.status === 410) {
    return undefined;
  }
  throw new BundleError(`cannot fetch ${url}: the server answered ${response.status}`);
}

async function openPacked(bytes, shown) {
  let members;
  try {
    members = packedMembers(readZip(bytes), shown);
  } catch (error) {
    throw error instanceof BundleError
      ? error
      : new BundleError(
          `cannot read ${shown} as a packed bundle: ${messageOf(error)}; ${FETCH_AGAIN}`,
        );
  }
  const checkListed = (manifest) => {
    const listed = [MANIFEST_FILE, SIGNATURE_FILE, ...Object.keys(manifest.files)];
    const strange = [...members.keys()].find((name) => !listed.includes(name));
    if (strange !== undefined) {
      throw new BundleError(
        `${shown} holds '${strange}', which its manifest does not list; do not use it`,
      );
    }
  };
  return await opened((name) => members.get(name), checkListed, shown);
}

/** name -> content. Throws BundleError for what a packed bundle must not hold. */
function packedMembers(entries, shown) {
  const members = new Map();
  for (const { name, method, size, mode, encrypted, packed } of entries) {
    const stored = method === STORED && packed.length === size && !encrypted;
    const plainFile = !name.endsWith("/") && [0, PLAIN_FILE].includes(mode & FILE_KIND);
    if (!stored || !plainFile || members.has(name)) {
      const how = stored ? "twice, or as no plain file" : "compressed or encrypted";
      throw new BundleError(`${shown} holds '${name}' ${how}; pack the bundle with treadle pack`);
    }
    members.set(name, packed);
  }
  if (!members.has(MANIFEST_FILE)) {
    throw new BundleError(`${shown} holds no ${MANIFEST_FILE}, so this is no packed bundle`);
  }
  if (members.get(MANIFEST_FILE).length > MANIFEST_LIMIT) {
    throw new BundleError(
      `${shown}/${MANIFEST_FILE} is larger than ${MANIFEST_LIMIT} bytes, which no manifest is; ` +
        "do not use it",
    );
  }
  return members;
}

/** Read and check everything; `reader` gives the bytes of a file, or undefined. */
async function opened(reader, checkListed, shown) {
  const content = await reader(MANIFEST_FILE);
  if (content === undefined) {
    throw new BundleError(
      `${shown}/${MANIFEST_FILE} is missing, so this is no bundle; check the path`,
    );
  }
  const manifest = await readManifest(
    utf8(content, `${shown}/${MANIFEST_FILE}`),
    `${shown}/${MANIFEST_FILE}`,
  );
  checkListed(manifest);
  const names = Object.keys(manifest.files);
  const contents = await Promise.all(
    names.map(async (name) => {
      const bytes = await reader(name);
      await checkFile(bytes, manifest.files[name], `${shown}/${name}`);
      return bytes;
    }),
  );
  return new Bundle(manifest, new Map(names.map((name, place) => [name, contents[place]])), shown);
}

async function checkFile(content, expected, shown) {
  if (content === undefined) {
    throw new BundleError(`${shown} is missing; ${FETCH_AGAIN}`);
  }
  if (content.length !== expected.bytes) {
    throw new BundleError(
      `${shown} has ${content.length} bytes, expected ${expected.bytes}; ${FETCH_AGAIN}`,
    );
  }
  const found = await sha256(content);
  if (found !== expected.sha256) {
    throw new BundleError(
      `${shown} has the digest ${found}, expected ${expected.sha256}; ` +
        `it is damaged or changed: ${FETCH_AGAIN}`,
    );
  }
}

function utf8(bytes, shown) {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new BundleError(`${shown} is not a JSON document: it is not UTF-8; ${FETCH_AGAIN}`);
  }
}

/** The bytes of a Uint8Array, an ArrayBuffer or a Blob; undefined for anything else. */
async function bytesOf(content) {
  if (content instanceof Uint8Array) {
    return content;
  }
  if (content instanceof ArrayBuffer) {
    return new Uint8Array(content);
  }
  return content instanceof Blob ? new Uint8Array(await content.arrayBuffer()) : undefined;
}
