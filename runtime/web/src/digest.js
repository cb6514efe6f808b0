/** SHA-256 by WebCrypto, as manifests write it: "sha256:" and 64 hexadecimal digits. */

import { DeviceError } from "./errors.js";

/**
 * @param {Uint8Array | string} content a string counts as its UTF-8
 * Throws DeviceError where the page has no WebCrypto.
 */
export async function sha256(content) {
  const subtle = globalThis.crypto?.subtle;
  if (!subtle) {
    throw new DeviceError(
      "checking a bundle needs WebCrypto, which browsers give to secure pages only; " +
        "serve the page over https or from localhost",
    );
  }
  const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
  const digest = new Uint8Array(await subtle.digest("SHA-256", bytes));
  return `sha256:${Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}
