"""RNN-T's greedy search: follow the likeliest symbol until it is the blank."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from treadle.decoding.record import Record
from treadle.decoding.transcript import Transcript

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from treadle.decoding.predictor import Prediction


class TransducerGreedy:
    """B rows, one of the predictor for each.

    In a frame, a row emits its likeliest symbol and lets the predictor read it, until that is the
    blank or `max_symbols` were emitted; then it goes to the next frame. The score is the
    log-probability of these choices. Source: the transition rule of Graves 2012, "Sequence
    transduction with recurrent neural networks", section 2, with a limit to what a frame emits.
    """

    def __init__(self, prediction: Prediction, rows: int, blank: int, max_symbols: int) -> None:
        self.prediction = prediction
        self._blank, self._max_symbols = blank, max_symbols
        self._ids: list[list[int]] = [[] for _ in range(rows)]
        self._frames: list[list[int]] = [[] for _ in range(rows)]
        self._scores = np.zeros(rows)

    def read(
        self, x: NDArray[np.float32], reading: NDArray[np.bool_], frames: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        """Read a frame; one of blank is one that emitted nothing."""
        emitting, silent = reading, np.ones_like(reading)
        for _ in range(self._max_symbols):
            scores = self.prediction.join(x, emitting)
            ids = scores.argmax(axis=-1)
            self._scores[emitting] += scores[emitting, ids[emitting]]
            emitting = emitting & (ids != self._blank)
            for row in np.flatnonzero(emitting).tolist():
                self._ids[row].append(int(ids[row]))
                self._frames[row].append(int(frames[row]))
            silent &= ~emitting
            if not emitting.any():
                break
            self.prediction.advance(ids.astype(np.int64), emitting)
        return silent

    def best(self, row: int, n_best: int) -> list[Transcript]:  # noqa: ARG002 - there is one
        """The one sequence there is."""
        ids, frames = tuple(self._ids[row]), tuple(self._frames[row])
        return [Transcript(ids, frames, float(self._scores[row]))]

    def spoken(self, row: int) -> bool:
        """Whether a row has a symbol."""
        return bool(self._ids[row])

    def settled(self, row: int) -> int:
        """All symbols: what was emitted stays."""
        return len(self._ids[row])

    def records(self, row: int) -> list[Record]:
        """The one sequence there is."""
        ids, frames = tuple(self._ids[row]), tuple(self._frames[row])
        return [Record(ids, (frames,), (float(self._scores[row]),))]

    def put(self, row: int, records: Sequence[Record]) -> None:
        """Let a row go on from what `records` gave."""
        [(ids, (frames,), (self._scores[row],))] = records
        self._ids[row], self._frames[row] = list(ids), list(frames)

    def reset(self, rows: NDArray[np.int64]) -> None:
        """Start these rows anew."""
        for row in rows.tolist():
            self._ids[row], self._frames[row] = [], []
        self._scores[rows] = 0
        self.prediction.reset(rows)
