"""Beam search with length normalization, over sources x beam rows of one stream.

S sources, K rows (the beam) each, V symbols: row `s * K + k` of the stream carries the k-th
living hypothesis of source s.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from treadle.decoding.constraint import allowed_mask
from treadle.decoding.decoder import Decoded, log_softmax, read_logits
from treadle.decoding.time_limit import TimeLimit
from treadle.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from treadle.decoding.constraint import Constraint
    from treadle.decoding.decoder import Decoder


def length_penalty(length: int, alpha: float) -> float:
    """((5 + length) / 6) ** alpha; a hypothesis scores log-probability / length_penalty.

    `length` counts the symbols made, the end symbol included; alpha 0 switches it off. Source:
    Wu et al. 2016, "Google's neural machine translation system", equation 14, without its
    coverage penalty.
    """
    return float(((5.0 + length) / 6.0) ** alpha)


def beam_search(
    stream: Decoder,
    *,
    beam: int,
    start: int | NDArray[np.int64],
    end: int | None,
    max_length: int,
    n_best: int = 1,
    length_normalization: float = 0.6,
    constraint: Constraint | None = None,
    until: Callable[[Sequence[int]], bool] | None = None,
    time_limit: float | None = None,
) -> list[list[Decoded]]:
    """The `n_best` sequences of each source, best first; fewer where a constraint leaves fewer.

    The stream has `beam` equal rows for each source, one source after the other; each reads
    `start` first, or its own of `[B]`. A hypothesis that ends keeps its place in the beam, so a
    beam of 1 is greedy search. A source stops when its beam is full, when nothing alive can still
    enter its n best, or after `max_length` steps; hypotheses cut there rank behind those that
    ended. Equal scores keep the order of hypothesis, then symbol.

    `constraint` holds for each hypothesis, whose log-probability stays the model's own. One also
    ends when `until` is true of its ids, the last of which count. All are cut after the step that
    passes `time_limit` seconds. Raises InputError for impossible sizes, StateError for logits not
    finite, InputError and StateError for a constraint that allows nothing.
    """
    _check_sizes(stream.batch_size, beam, n_best, length_normalization)
    limit = TimeLimit(time_limit)
    rules = _Rules(beam, n_best, end, max_length, length_normalization, constraint, until)
    searches = [_Search(rules) for _ in range(stream.batch_size // beam)]
    tokens = np.full(stream.batch_size, start, dtype=np.int64)
    for step in range(max_length):
        log_probabilities = log_softmax(read_logits(stream.step(tokens), step))
        rows = np.arange(stream.batch_size, dtype=np.int64)
        for source, search in enumerate(searches):
            if search.alive:
                first = source * beam
                parents = search.extend(log_probabilities[first : first + beam])
                rows[first : first + len(parents)] = first + np.array(parents, dtype=np.int64)
                tokens[first : first + len(parents)] = [living.ids[-1] for living in search.alive]
        if limit.passed or not any(search.alive for search in searches):
            break
        if step + 1 < max_length:
            stream.select(rows)
    return [search.best() for search in searches]


def _check_sizes(rows: int, beam: int, n_best: int, alpha: float) -> None:
    if beam < 1 or not 1 <= n_best <= beam or rows % beam:
        raise InputError(
            f"expected 1 <= n_best <= beam and a multiple of beam rows, got n_best {n_best}, "
            f"beam {beam} and {rows} rows"
        )
    if not alpha >= 0:
        raise InputError(f"length_normalization should be 0 or more, got {alpha}")


@dataclass(frozen=True, slots=True)
class _Rules:
    """What is the same for every source."""

    beam: int
    n_best: int
    end: int | None
    max_length: int
    alpha: float
    constraint: Constraint | None
    until: Callable[[Sequence[int]], bool] | None

    def start(self) -> _Living:
        return _Living((), 0.0, None if self.constraint is None else self.constraint.start())

    def restrict(self, living: _Living, log_probabilities: NDArray[np.float64]) -> bool:
        """Set what may not follow a hypothesis, of `[V]`, to minus infinity.

        False where nothing may, and no end symbol either: it is over.
        """
        if self.constraint is None:
            return True
        size = len(log_probabilities)
        mask = allowed_mask(self.constraint, living.state, living.ids, self.end, size)
        log_probabilities[~mask] = -np.inf
        return bool(mask.any())

    def advance(self, living: _Living, symbol: int, total: float) -> _Living:
        state = living.state
        if self.constraint is not None:
            state = self.constraint.advance(state, symbol)
        return _Living((*living.ids, symbol), total, state)


@dataclass(frozen=True, slots=True)
class _Living:
    """A hypothesis that goes on: its ids, log-probability and state of the constraint."""

    ids: tuple[int, ...]
    total: float
    state: Any


class _Search:
    """The beam of one source: hypotheses alive and finished."""

    def __init__(self, rules: _Rules) -> None:
        self.rules = rules
        self.alive = [rules.start()]
        self.finished: list[Decoded] = []
        self.steps = 0

    def extend(self, log_probabilities: NDArray[np.float64]) -> list[int]:
        """Make one step, `[K, V]`; the row each living hypothesis now continues from."""
        self.steps += 1
        candidates = log_probabilities[: len(self.alive)].copy()
        for row, living in zip(candidates, self.alive, strict=True):
            if not self.rules.restrict(living, row):
                self.finished.append(self._decoded(living.ids, living.total, finished=True))
        candidates += np.array([living.total for living in self.alive])[:, None]
        places = self.rules.beam - len(self.finished)
        parents: list[int] = []
        alive: list[_Living] = []
        for index in np.argsort(-candidates, axis=None, kind="stable")[:places].tolist():
            parent, symbol = divmod(index, candidates.shape[1])
            total = float(candidates[parent, symbol])
            if total == -np.inf:
                break  # not allowed, and nor is what sorts behind it
            if symbol == self.rules.end:
                self.finished.append(self._decoded(self.alive[parent].ids, total, finished=True))
                continue
            made = self.rules.advance(self.alive[parent], symbol, total)
            if self.rules.until and self.rules.until(made.ids):
                self.finished.append(self._decoded(made.ids, total, finished=True))
            else:
                parents.append(parent)
                alive.append(made)
        if self._settled(alive):
            alive, parents = [], []
        self.alive = alive
        return parents

    def _settled(self, alive: list[_Living]) -> bool:
        """Whether no living hypothesis can enter the n best any more.

        Log-probabilities only fall and the penalty is largest at `max_length`, so the quotient of
        the two bounds every continuation.
        """
        rules = self.rules
        if len(self.finished) < rules.n_best or not alive:
            return False
        worst = sorted((made.score for made in self.finished), reverse=True)[rules.n_best - 1]
        longest = length_penalty(rules.max_length, rules.alpha)
        return max(living.total for living in alive) / longest <= worst

    def _decoded(self, ids: tuple[int, ...], total: float, *, finished: bool) -> Decoded:
        return Decoded(ids, total, total / length_penalty(self.steps, self.rules.alpha), finished)

    def best(self) -> list[Decoded]:
        """The n best; what is still alive was cut, and ranks behind what ended."""
        cut = [self._decoded(living.ids, living.total, finished=False) for living in self.alive]
        ranked = sorted(self.finished, key=lambda made: -made.score)
        ranked += sorted(cut, key=lambda made: -made.score)
        return ranked[: self.rules.n_best]
