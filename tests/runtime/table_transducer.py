"""An RNN-T small enough to enumerate, every row of it computed by itself.

The predictor's output is a random vector for each prefix; the joiner multiplies and adds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from treadle.errors import StateError
from treadle.state import Snapshot

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

ENCODED, PREDICTED = 3, 4


def prediction(seed: int, prefix: tuple[int, ...]) -> NDArray[np.float32]:
    return np.random.default_rng([seed, *prefix]).normal(size=PREDICTED).astype(np.float32)


class TablePredictor:
    """What the decoder uses of a Stream; its state is the prefix, the start symbol included."""

    def __init__(self, batch_size: int, seed: int) -> None:
        self.batch_size, self.seed = batch_size, seed
        self.prefixes: list[tuple[int, ...]] = [()] * batch_size
        self.read = 0  # symbols read by all rows together
        self.calls = 0

    def step(
        self, x: NDArray[np.int64], *, active: NDArray[np.bool_] | None = None
    ) -> NDArray[np.float32]:
        assert active is not None
        assert active.shape == x.shape == (self.batch_size,)
        outputs = np.zeros((self.batch_size, PREDICTED), np.float32)
        for row in np.flatnonzero(active).tolist():
            self.prefixes[row] = (*self.prefixes[row], int(x[row]))
            outputs[row] = prediction(self.seed, self.prefixes[row])
        self.read += int(active.sum())
        self.calls += 1
        return outputs

    def select(self, rows: NDArray[np.int64]) -> None:
        assert rows.shape == (self.batch_size,)
        self.prefixes = [self.prefixes[row] for row in rows]
        self.calls += 1

    def reset(self, rows: ArrayLike | None = None) -> None:
        for row in range(self.batch_size) if rows is None else np.asarray(rows).tolist():
            self.prefixes[row] = ()

    def snapshot(self) -> Snapshot:
        longest = max(map(len, self.prefixes))
        padded = np.full((self.batch_size, longest), -1)
        for row, prefix in enumerate(self.prefixes):
            padded[row, : len(prefix)] = prefix
        return Snapshot(f"table {self.seed}", {"prefix": padded}, {}, np.zeros(len(padded), int))

    def restore(self, snapshot: Snapshot) -> None:
        if snapshot.digest != f"table {self.seed}":
            raise StateError(f"the snapshot is of {snapshot.digest}, but this is table {self.seed}")
        self.prefixes = [
            tuple(symbol for symbol in row.tolist() if symbol >= 0)
            for row in snapshot.state["prefix"]
        ]


class TableJoiner:
    """Encoder frames [rows, E] and predictions [rows, P] to logits [rows, symbols]."""

    def __init__(self, symbols: int, seed: int, predicted: int = PREDICTED) -> None:
        rng = np.random.default_rng(seed)
        self.encoder = rng.normal(size=(symbols, ENCODED)).astype(np.float32)
        self.predictor = rng.normal(size=(symbols, predicted)).astype(np.float32)

    def row(self, frame: NDArray[np.float32], made: NDArray[np.float32]) -> NDArray[np.float32]:
        joined = (self.encoder * frame).sum(axis=-1) + (self.predictor * made).sum(axis=-1)
        return np.asarray(joined, np.float32)

    def __call__(
        self, frames: NDArray[np.float32], made: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        return np.stack([self.row(f, m) for f, m in zip(frames, made, strict=True)])
