"""RNN-T's beam search, frame by frame, with at most one symbol a frame."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from treadle.decoding.candidates import (
    Ids,
    best_candidates,
    common_length,
    extensions_within,
)
from treadle.decoding.record import Record
from treadle.decoding.transcript import Transcript

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from treadle.decoding.predictor import Prediction


class _Hypothesis(NamedTuple):
    """A symbol sequence.

    total: log-probability of all its alignments; path: of the likeliest, which emits at `frames`.
    """

    ids: Ids
    total: float
    path: float
    frames: tuple[int, ...]


_EMPTY = _Hypothesis((), 0.0, 0.0, ())


class TransducerBeam:
    """B rows, K of the predictor for each: row `b * K + k` carries the k-th hypothesis of row b.

    In a frame, a hypothesis takes the blank and stays, or one symbol and is longer; either way it
    goes to the next frame. Hypotheses of the same symbols are merged, their probabilities added,
    and the K likeliest kept; so a frame takes one call of the joiner and one of the predictor.
    The score sums all alignments of one step a frame that no pruning has cut off. Source:
    Tripathi et al. 2019, "Monotonic recurrent neural network transducer and decoding strategies",
    for the alignments, and Graves 2012 for the merging.
    """

    def __init__(self, prediction: Prediction, rows: int, blank: int, beam: int) -> None:
        self.prediction, self._blank, self._beam = prediction, blank, beam
        self._rows: list[list[_Hypothesis]] = [[_EMPTY] for _ in range(rows)]

    def read(
        self, x: NDArray[np.float32], reading: NDArray[np.bool_], frames: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        """Read a frame; one of blank is one at which the best hypothesis emits nothing."""
        scores = self.prediction.join(np.repeat(x, self._beam, axis=0), self._alive(reading))
        sources = np.arange(len(scores))
        ids, longer = np.zeros(len(scores), np.int64), np.zeros(len(scores), bool)
        silent = np.ones_like(reading)
        for row in np.flatnonzero(reading).tolist():
            first, frame, before = row * self._beam, int(frames[row]), self._rows[row]
            made, chosen = self._extend(before, scores[first : first + len(before)], frame)
            for place, (parent, symbol) in enumerate(chosen, start=first):
                sources[place] = first + parent
                if symbol is not None:
                    ids[place], longer[place] = symbol, True
            self._rows[row] = made
            silent[row] = made[0].frames[-1:] != (frame,)
        self.prediction.select(sources)
        self.prediction.advance(ids, longer)
        return silent

    def _alive(self, reading: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Which rows of the predictor carry a hypothesis of a row that reads, bool [B * K]."""
        counts = np.array([len(hypotheses) for hypotheses in self._rows])
        alive: NDArray[np.bool_] = np.arange(self._beam) < (counts * reading)[:, None]
        return alive.reshape(-1)

    def _extend(
        self, before: list[_Hypothesis], scores: NDArray[np.float64], frame: int
    ) -> tuple[list[_Hypothesis], list[tuple[int, int | None]]]:
        """The beam of a row after a frame of `scores` [k, V]; for each its parent and symbol."""
        stayed = [
            _Hypothesis(old.ids, old.total + blank, old.path + blank, old.frames)
            for old, blank in zip(before, scores[:, self._blank].tolist(), strict=True)
        ]
        extended = np.array([old.total for old in before])[:, None] + scores
        extended[:, self._blank] = -np.inf
        for parent, child in extensions_within([old.ids for old in before]):
            symbol = before[child].ids[-1]
            other = self._longer(before[parent], symbol, scores[parent], frame)
            better = max(stayed[child], other, key=lambda made: made.path)
            total = float(np.logaddexp(stayed[child].total, other.total))
            stayed[child] = better._replace(total=total)
            extended[parent, symbol] = -np.inf
        totals = np.array([made.total for made in stayed])
        chosen = best_candidates(totals, extended, self._beam)
        made = [
            stayed[parent]
            if symbol is None
            else self._longer(before[parent], symbol, scores[parent], frame)
            for parent, symbol in chosen
        ]
        return made, chosen

    @staticmethod
    def _longer(
        old: _Hypothesis, symbol: int, scores: NDArray[np.float64], frame: int
    ) -> _Hypothesis:
        score = float(scores[symbol])
        ids, frames = (*old.ids, symbol), (*old.frames, frame)
        return _Hypothesis(ids, old.total + score, old.path + score, frames)

    def best(self, row: int, n_best: int) -> list[Transcript]:
        """Up to `n_best` sequences, best first."""
        return [Transcript(h.ids, h.frames, h.total) for h in self._rows[row][:n_best]]

    def spoken(self, row: int) -> bool:
        """Whether the best hypothesis of a row has a symbol."""
        return bool(self._rows[row][0].ids)

    def settled(self, row: int) -> int:
        """What all hypotheses begin with: later ones extend one of these."""
        return common_length([hypothesis.ids for hypothesis in self._rows[row]])

    def records(self, row: int) -> list[Record]:
        """All hypotheses of a row, best first."""
        return [Record(h.ids, (h.frames,), (h.total, h.path)) for h in self._rows[row]]

    def put(self, row: int, records: Sequence[Record]) -> None:
        """Let a row go on from what `records` gave."""
        self._rows[row] = [
            _Hypothesis(ids, total, path, frames) for ids, (frames,), (total, path) in records
        ]

    def reset(self, rows: NDArray[np.int64]) -> None:
        """Start these rows anew."""
        for row in rows.tolist():
            self._rows[row] = [_EMPTY]
        self.prediction.reset((rows[:, None] * self._beam + np.arange(self._beam)).reshape(-1))
