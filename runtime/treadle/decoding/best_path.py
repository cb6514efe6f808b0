"""CTC's best path: the likeliest symbol of every frame, repeats collapsed, blanks dropped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.decoding.record import Record
from treadle.decoding.transcript import Transcript

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray


class BestPath:
    """The best path of one row, frame by frame.

    The score is the log-probability of that one alignment. Source: Graves et al. 2006,
    "Connectionist temporal classification", section 3.2.
    """

    __slots__ = ("_blank", "_frames", "_ids", "_last", "_score")

    def __init__(self, blank: int) -> None:
        self._blank = self._last = blank
        self._ids: list[int] = []
        self._frames: list[int] = []
        self._score = 0.0

    def read(self, log_probabilities: NDArray[np.float64], frame: int) -> None:
        """Read float64 [V] of one frame; of equally likely symbols the lowest id wins."""
        symbol = int(log_probabilities.argmax())
        self._score += float(log_probabilities[symbol])
        if symbol not in (self._blank, self._last):
            self._ids.append(symbol)
            self._frames.append(frame)
        self._last = symbol

    def best(self, n_best: int) -> list[Transcript]:  # noqa: ARG002 - there is one
        """The one sequence there is."""
        return [Transcript(tuple(self._ids), tuple(self._frames), self._score)]

    def spoken(self) -> bool:
        """Whether there is a symbol."""
        return bool(self._ids)

    def settled(self) -> int:
        """All symbols: what was emitted stays."""
        return len(self._ids)

    def records(self) -> list[Record]:
        """The one sequence; its numbers are the score, and 1 where its last symbol is held on."""
        held = float(self._last != self._blank)
        return [Record(tuple(self._ids), (tuple(self._frames),), (self._score, held))]

    def put(self, records: Sequence[Record]) -> None:
        """Go on from what `records` gave."""
        [(ids, (frames,), (self._score, held))] = records
        self._ids, self._frames = list(ids), list(frames)
        self._last = ids[-1] if ids and held else self._blank
