/**
 * Philox4x32-10: random numbers as a pure function of a key and a counter, the same as in Python.
 *
 * Source: J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw, "Parallel random numbers: as easy as
 * 1, 2, 3", SC 2011, section 3.3.
 */

const ROUNDS = 10;
const MULTIPLIERS = [0xd2511f53, 0xcd9e8d57];
const WEYL = [0x9e3779b9, 0xbb67ae85]; // of the golden ratio and of the root of 3
const WORD = 2 ** 32;

/** The upper 32 bits of a product of two 32-bit words; a float64 holds no more than 53 at once. */
function upper(a, b) {
  const [aHigh, aLow] = [a >>> 16, a & 0xffff];
  const [bHigh, bLow] = [b >>> 16, b & 0xffff];
  const low = aLow * bLow;
  const first = aHigh * bLow + (low >>> 16); // at most 2^32 + 2^16: exact in a float64
  const second = aLow * bHigh + (first % 0x10000);
  return (aHigh * bHigh + Math.floor(first / 0x10000) + Math.floor(second / 0x10000)) >>> 0;
}

/** Four random 32-bit words for a counter of four and a key of two 32-bit words. */
export function philox4x32([c0, c1, c2, c3], [k0, k1]) {
  for (let round = 0; round < ROUNDS; round++) {
    const [high0, low0] = [upper(c0, MULTIPLIERS[0]), Math.imul(c0, MULTIPLIERS[0]) >>> 0];
    const [high1, low1] = [upper(c2, MULTIPLIERS[1]), Math.imul(c2, MULTIPLIERS[1]) >>> 0];
    [c0, c1, c2, c3] = [(high1 ^ c1 ^ k0) >>> 0, low1, (high0 ^ c3 ^ k1) >>> 0, low0];
    [k0, k1] = [(k0 + WEYL[0]) >>> 0, (k1 + WEYL[1]) >>> 0];
  }
  return [c0, c1, c2, c3];
}

/**
 * One number of [0, 1) with 53 random bits. The seed, a bigint of 64 bits, is the key, low word
 * first; the counter is (step low, step high, row low, row high).
 */
export function uniform(seed, row, step) {
  const key = [Number(seed & 0xffffffffn), Number(seed >> 32n)];
  const counter = [...words(step), ...words(row)];
  const [w0, w1] = philox4x32(counter, key);
  return ((w0 >>> 5) * 2 ** 26 + (w1 >>> 6)) / 2 ** 53;
}

function words(number) {
  return [number % WORD, Math.floor(number / WORD)];
}
