"""Beam search with length normalization, over sources x beam rows of one stream.

S sources, K rows (the beam) each, V symbols: row `s * K + k` of the stream carries the k-th
living hypothesis of source s.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from treadle.decoding.decoder import Decoded, log_softmax, read_logits
from treadle.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

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
    start: int,
    end: int,
    max_length: int,
    n_best: int = 1,
    length_normalization: float = 0.6,
) -> list[list[Decoded]]:
    """The `n_best` sequences of each source, best first.

    The stream has `beam` equal rows for each source, one source after the other. A hypothesis
    that ends keeps its place in the beam, so a beam of 1 is greedy search. A source stops when
    its beam is full, when nothing alive can still enter its n best, or after `max_length` steps;
    hypotheses cut there rank behind those that ended. Equal scores keep the order of hypothesis,
    then symbol. Raises InputError for impossible sizes, StateError for logits not finite.
    """
    _check_sizes(stream.batch_size, beam, n_best, length_normalization)
    searches = [
        _Search(beam, n_best, end, max_length, length_normalization)
        for _ in range(stream.batch_size // beam)
    ]
    tokens = np.full(stream.batch_size, start, dtype=np.int64)
    for step in range(max_length):
        log_probabilities = log_softmax(read_logits(stream.step(tokens), step))
        rows = np.arange(stream.batch_size, dtype=np.int64)
        for source, search in enumerate(searches):
            if search.alive:
                first = source * beam
                parents = search.extend(log_probabilities[first : first + beam])
                rows[first : first + len(parents)] = first + np.array(parents, dtype=np.int64)
                tokens[first : first + len(parents)] = [ids[-1] for ids, _ in search.alive]
        if not any(search.alive for search in searches):
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


@dataclass(slots=True)
class _Search:
    """The beam of one source: hypotheses alive (ids, log-probability) and finished."""

    beam: int
    n_best: int
    end: int
    max_length: int
    alpha: float
    alive: list[tuple[tuple[int, ...], float]] = field(default_factory=lambda: [((), 0.0)])
    finished: list[Decoded] = field(default_factory=list)
    cut: list[Decoded] = field(default_factory=list)
    steps: int = 0

    def extend(self, log_probabilities: NDArray[np.float64]) -> list[int]:
        """Make one step, `[K, V]`; the row each living hypothesis now continues from."""
        self.steps += 1
        totals = np.array([total for _, total in self.alive])[:, None]
        candidates = totals + log_probabilities[: len(self.alive)]
        places = self.beam - len(self.finished)
        parents: list[int] = []
        alive: list[tuple[tuple[int, ...], float]] = []
        for index in np.argsort(-candidates, axis=None, kind="stable")[:places].tolist():
            parent, symbol = divmod(index, candidates.shape[1])
            ids, total = self.alive[parent][0], float(candidates[parent, symbol])
            if symbol == self.end:
                self.finished.append(self._decoded(ids, total, finished=True))
            else:
                parents.append(parent)
                alive.append(((*ids, symbol), total))
        if self._settled(alive):
            alive, parents = [], []
        elif self.steps == self.max_length:
            self.cut = [self._decoded(ids, total, finished=False) for ids, total in alive]
        self.alive = alive
        return parents

    def _settled(self, alive: list[tuple[tuple[int, ...], float]]) -> bool:
        """Whether no living hypothesis can enter the n best any more.

        Log-probabilities only fall and the penalty is largest at `max_length`, so the quotient of
        the two bounds every continuation.
        """
        if len(self.finished) < self.n_best or not alive:
            return False
        worst = sorted((made.score for made in self.finished), reverse=True)[self.n_best - 1]
        ceiling = max(total for _, total in alive) / length_penalty(self.max_length, self.alpha)
        return ceiling <= worst

    def _decoded(self, ids: tuple[int, ...], total: float, *, finished: bool) -> Decoded:
        return Decoded(ids, total, total / length_penalty(self.steps, self.alpha), finished)

    def best(self) -> list[Decoded]:
        ranked = sorted(self.finished, key=lambda made: -made.score)
        ranked += sorted(self.cut, key=lambda made: -made.score)
        return ranked[: self.n_best]
