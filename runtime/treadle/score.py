"""How likely a model holds a given sequence."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from treadle.decoding import log_softmax, read_logits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from treadle.stream import Stream

# Steps of one call of the sequence graph: long enough that a call costs nothing against them.
_CHUNK = 512


@dataclass(frozen=True, slots=True, eq=False)
class Score:
    """Negative log-likelihood of a sequence: `nats` holds one float64 a symbol."""

    nats: NDArray[np.float64]

    @property
    def count(self) -> int:
        """Number of symbols."""
        return len(self.nats)

    @property
    def nats_per_symbol(self) -> float:
        """Mean over the symbols, in nats."""
        return float(self.nats.sum() / self.count)

    @property
    def bits_per_symbol(self) -> float:
        """Mean over the symbols, in bits."""
        return self.nats_per_symbol / math.log(2.0)

    @property
    def perplexity(self) -> float:
        """Exp of the mean nats; infinity where a float cannot hold it."""
        from treadle.metrics import perplexity

        return perplexity(self.nats)


def negative_log_probabilities(
    logits: NDArray[np.float32], targets: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Nats of each target `[T]` under the logits `[T, V]` that predict it, float64 `[T]`."""
    chosen: NDArray[np.float64] = log_softmax(logits)[np.arange(len(targets)), targets]
    return -chosen


def forced(stream: Stream, start: int, targets: Sequence[Sequence[int]]) -> list[Score]:
    """The score of each row's own ids, the first predicted from `start`.

    Teacher-forced: every symbol is predicted from the right ones before it. Rows are read together,
    in chunks with the state carried, about 512 symbols a call; logits become log-probabilities in
    float64. Each of `targets`, one a row of the stream, has at least one id.
    """
    inputs, lengths = padded_ids([[start, *row[:-1]] for row in targets])
    nats = [np.empty(len(row), dtype=np.float64) for row in targets]
    steps = max(1, _CHUNK // len(targets))
    for first in range(0, inputs.shape[1], steps):
        left = np.clip(lengths - first, 0, steps)
        made = stream.unroll(inputs[:, first : first + steps], left)
        for row, logits in enumerate(read_logits(made, first)):
            part = slice(first, first + int(left[row]))
            right = np.array(targets[row][part], np.int64)
            nats[row][part] = negative_log_probabilities(logits[: len(right)], right)
    return [Score(values) for values in nats]


def padded_ids(rows: Sequence[Sequence[int]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows as int64 [B, T], 0 where padded, and their lengths [B]."""
    lengths = np.array([len(row) for row in rows], np.int64)
    padded = np.zeros((len(rows), int(lengths.max())), np.int64)
    for row, ids in enumerate(rows):
        padded[row, : len(ids)] = ids
    return padded, lengths
