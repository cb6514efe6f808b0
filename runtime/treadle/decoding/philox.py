"""Philox4x32-10: random numbers as a pure function of a key and a counter.

Source: J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw, "Parallel random numbers: as easy as
1, 2, 3", SC 2011, section 3.3 and the known-answer vectors of their Random123 library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

_ROUNDS = 10
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)  # fractional parts of the golden ratio and of the root of 3
_WORD = 0xFFFFFFFF


def philox4x32(
    counter: tuple[int, int, int, int], key: tuple[int, int]
) -> tuple[int, int, int, int]:
    """Four random 32-bit words for a 128-bit counter and a 64-bit key, as 32-bit words each."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(_ROUNDS):
        # A product of two 32-bit words fits 64 bits: its upper half diffuses, its lower passes on.
        p0, p1 = c0 * _MULTIPLIERS[0], c2 * _MULTIPLIERS[1]
        c0, c1, c2, c3 = (p1 >> 32) ^ c1 ^ k0, p1 & _WORD, (p0 >> 32) ^ c3 ^ k1, p0 & _WORD
        k0, k1 = (k0 + _WEYL[0]) & _WORD, (k1 + _WEYL[1]) & _WORD
    return c0, c1, c2, c3


def uniform(seed: int, rows: Iterable[int], step: int) -> NDArray[np.float64]:
    """One number of [0, 1) for each row at a step, float64 `[rows]`, with 53 random bits.

    The seed (64 bits) is the key, low word first; the counter is (step low, step high, row low,
    row high). A row therefore draws the same numbers alone and in any batch, in every language.
    """
    key = (seed & _WORD, seed >> 32 & _WORD)
    drawn = []
    for row in rows:
        counter = (step & _WORD, step >> 32 & _WORD, row & _WORD, row >> 32 & _WORD)
        w0, w1, _, _ = philox4x32(counter, key)
        drawn.append(((w0 >> 5) * (1 << 26) + (w1 >> 6)) / (1 << 53))
    return np.array(drawn, dtype=np.float64)
