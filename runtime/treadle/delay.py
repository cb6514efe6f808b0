"""Delay: how long a tag waits for the tokens that follow, and what a step reads meanwhile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from treadle.errors import BundleError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from treadle.arrays import Array

LONGEST = 2**16
"""Steps: what waits longer is a whole sequence."""


@dataclass(frozen=True, slots=True)
class Delay:
    """When the answer to a step is known: at most `steps` more have to be read before.

    chunk 0: every step reads one token, and answers the one `steps` before it; a sequence ends with
    as many steps of padding. Otherwise a step reads a window: a chunk of so many tokens and those
    that it looks ahead, chunk + lookahead = steps + 1 of them, padding where there are fewer. It
    answers all of the chunk, whose last token has then waited for `lookahead` steps and whose first
    for all `steps`. The windows of a sequence overlap: the next begins `chunk` tokens later.
    """

    steps: int = 0
    chunk: int = 0

    @classmethod
    def of(cls, decoding: Mapping[str, Any]) -> Delay | None:
        """As the part `decoding` of a manifest says it; None where the end is waited for.

        Raises BundleError for numbers that are no delay.
        """
        steps, chunk = decoding.get("delay", 0), decoding.get("chunk", 0)
        counts = [0 if steps is None else steps, chunk]
        if any(type(count) is not int or not 0 <= count < LONGEST for count in counts):
            raise BundleError(
                f"decoding.delay must be null or a number of steps, and decoding.chunk a number of "
                f"steps, below {LONGEST}, got {steps!r} and {chunk!r}; export the bundle again"
            )
        if chunk and (steps is None or chunk > steps + 1):
            raise BundleError(
                f"decoding.chunk is {chunk}, but a token of a chunk waits for those behind it, and "
                f"decoding.delay is {steps!r}; export the bundle again"
            )
        return None if steps is None else cls(steps, chunk)

    @property
    def window(self) -> int:
        """Tokens that a step reads."""
        return self.steps + 1 if self.chunk else 1

    @property
    def answers(self) -> int:
        """Tokens that a step answers."""
        return self.chunk or 1

    def count(self, lengths: NDArray[np.int64]) -> NDArray[np.int64]:
        """Steps that answer sequences of `lengths` whole."""
        return -(-lengths // self.chunk) if self.chunk else lengths + self.steps

    def read(self, x: Array) -> Array:
        """What the steps read of sequences x [B, T, …], zero where padded: [B, steps, …].

        Where they read windows, the tokens of one lie side by side: [B, steps, window * …].
        """
        rows, time = x.shape[:2]
        steps = int(self.count(np.array([time], np.int64))[0])
        needed = (steps - 1) * self.answers + self.window
        padded = np.zeros((rows, max(needed, time), *x.shape[2:]), x.dtype)
        padded[:, :time] = x
        if not self.chunk:
            return padded
        first = np.arange(steps)[:, None] * self.chunk
        windows = padded[:, first + np.arange(self.window)]
        return windows.reshape(rows, steps, -1)

    def aligned(self, answers: Array, time: int) -> Array:
        """The answers [B, steps, answers * N] of `read` as [B, T, N]: each where its token is."""
        every = answers.reshape(len(answers), answers.shape[1] * self.answers, -1)
        first = 0 if self.chunk else self.steps
        return every[:, first : first + time]
