"""CTC prefix beam search: the likeliest symbol sequences, their alignments summed."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
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


class _Path(NamedTuple):
    """The likeliest of some alignments, and where it emits its symbols."""

    score: float
    frames: tuple[int, ...]


_NONE = _Path(-math.inf, ())


@dataclass(slots=True)
class _Prefix:
    """A symbol sequence, its alignments told apart by what they end in.

    in_blank, in_symbol: log-probability of all that end in blank, or in the last symbol. Only
    behind a blank can the same symbol be emitted once more.
    """

    ids: Ids
    in_blank: float
    in_symbol: float
    blank_path: _Path
    symbol_path: _Path

    @property
    def total(self) -> float:
        return float(np.logaddexp(self.in_blank, self.in_symbol))

    @property
    def path(self) -> _Path:
        return _better(self.blank_path, self.symbol_path)


class PrefixBeam:
    """The beam of one row, frame by frame.

    Keeps the `beam` likeliest prefixes after each frame; the score of one sums all alignments
    that no pruning has cut off. Source: Graves & Jaitly 2014, "Towards end-to-end speech
    recognition with recurrent neural networks", section 4, and Hannun et al. 2014, "First-pass
    large vocabulary continuous speech recognition using bi-directional recurrent DNNs",
    algorithm 1, without its language model.
    """

    __slots__ = ("_beam", "_blank", "_prefixes")

    def __init__(self, blank: int, beam: int) -> None:
        self._blank, self._beam = blank, beam
        self._prefixes = [_Prefix((), 0.0, -math.inf, _Path(0.0, ()), _NONE)]

    def read(self, log_probabilities: NDArray[np.float64], frame: int) -> None:
        """Read float64 [V] of one frame."""
        new = log_probabilities
        stayed = [self._stay(prefix, new) for prefix in self._prefixes]
        extended = np.array([prefix.total for prefix in self._prefixes])[:, None] + new
        extended[:, self._blank] = -np.inf
        for scores, prefix in zip(extended, self._prefixes, strict=True):
            if prefix.ids:
                scores[prefix.ids[-1]] = prefix.in_blank + new[prefix.ids[-1]]
        for parent, child in extensions_within([prefix.ids for prefix in self._prefixes]):
            symbol, merged = stayed[child].ids[-1], stayed[child]
            path = _emit(self._prefixes[parent], symbol, new, frame)
            merged.in_symbol = float(np.logaddexp(merged.in_symbol, extended[parent, symbol]))
            merged.symbol_path = _better(merged.symbol_path, path)
            extended[parent, symbol] = -np.inf
        totals = np.array([prefix.total for prefix in stayed])
        made = []
        for place, symbol_or_none in best_candidates(totals, extended, self._beam):
            if symbol_or_none is None:
                made.append(stayed[place])
            else:
                symbol, prefix = symbol_or_none, self._prefixes[place]
                path = _emit(prefix, symbol, new, frame)
                score = float(extended[place, symbol])
                made.append(_Prefix((*prefix.ids, symbol), -math.inf, score, _NONE, path))
        self._prefixes = made

    def _stay(self, prefix: _Prefix, new: NDArray[np.float64]) -> _Prefix:
        """The prefix after a frame that emits nothing: blank, or its last symbol once more."""
        blank = float(new[self._blank])
        path = prefix.path
        stayed = replace(
            prefix,
            in_blank=prefix.total + blank,
            in_symbol=-math.inf,
            blank_path=_Path(path.score + blank, path.frames),
        )
        if prefix.ids:
            repeated = float(new[prefix.ids[-1]])
            last = prefix.symbol_path
            stayed.in_symbol = prefix.in_symbol + repeated
            stayed.symbol_path = _Path(last.score + repeated, last.frames)
        return stayed

    def best(self, n_best: int) -> list[Transcript]:
        """Up to `n_best` sequences, best first."""
        chosen = self._prefixes[:n_best]
        return [Transcript(prefix.ids, prefix.path.frames, prefix.total) for prefix in chosen]

    def spoken(self) -> bool:
        """Whether the best prefix has a symbol."""
        return bool(self._prefixes[0].ids)

    def settled(self) -> int:
        """What all prefixes begin with: later ones extend one of these."""
        return common_length([prefix.ids for prefix in self._prefixes])

    def records(self) -> list[Record]:
        """All prefixes, best first."""
        made = []
        for prefix in self._prefixes:
            blank, symbol = prefix.blank_path, prefix.symbol_path
            scores = (prefix.in_blank, prefix.in_symbol, blank.score, symbol.score)
            made.append(Record(prefix.ids, (blank.frames, symbol.frames), scores))
        return made

    def put(self, records: Sequence[Record]) -> None:
        """Go on from what `records` gave."""
        self._prefixes = [
            _Prefix(ids, in_blank, in_symbol, _Path(blank, frames), _Path(symbol, last))
            for ids, (frames, last), (in_blank, in_symbol, blank, symbol) in records
        ]


def _better(first: _Path, second: _Path) -> _Path:
    return first if first.score >= second.score else second


def _emit(prefix: _Prefix, symbol: int, new: NDArray[np.float64], frame: int) -> _Path:
    """The likeliest alignment of `prefix` with one symbol more, which this frame emits."""
    path = prefix.blank_path if prefix.ids[-1:] == (symbol,) else prefix.path
    return _Path(path.score + float(new[symbol]), (*path.frames, frame))
