"""Answers of a model that makes symbols: what one is, and the search for them over a batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from treadle.decoding import (
    Sampler,
    StopStrings,
    TimeLimit,
    as_constraint,
    beam_search,
    sample_search,
)
from treadle.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence, Sized

    import numpy as np
    from numpy.typing import NDArray

    from treadle.decoding import Constraining, Constraint, Decoded, Decoder
    from treadle.vocabulary import Vocabulary

MOST_ROWS = 256
"""Rows of one stream. More brings little on a CPU, and a batch runs until its longest row ends."""


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """One answer: its symbols, their ids and text, and the score it is ranked by.

    Special symbols are left out of `symbols` and `text`. `score` is the log-probability of all
    symbols made with the end symbol, for a beam above 1 divided by the length penalty.
    `finished` is False when the answer was cut at `max_length` or a time limit. At a stop string
    `text` is cut; `symbols` and `ids` are those wholly before it, `score` counts it.
    """

    symbols: tuple[str, ...]
    ids: tuple[int, ...]
    text: str
    score: float
    finished: bool

    def to_json(self) -> dict[str, Any]:
        """All but the ids, as one JSON object."""
        return {
            "text": self.text,
            "symbols": list(self.symbols),
            "score": self.score,
            "finished": self.finished,
        }


@dataclass(frozen=True, slots=True)
class Search:
    """How one call searches, the same for all its batches; made by `search_for`."""

    beam: int
    n_best: int
    length_normalization: float
    max_length: int
    sampler: Sampler
    constraint: Constraint | None
    stops: StopStrings
    limit: TimeLimit

    @property
    def rows(self) -> int:
        """How many inputs one stream takes."""
        return max(1, MOST_ROWS // self.beam)

    def run(
        self,
        stream: Decoder,
        vocabulary: Vocabulary,
        *,
        start: int | NDArray[np.int64],
        end: int | None,
        numbers: Sequence[int],
    ) -> list[list[Hypothesis]]:
        """The answers of a stream with `beam` rows for each of its inputs.

        start: what each row reads first; numbers: those of the inputs, by which they draw.
        """
        until: Callable[[Sequence[int]], bool] | None = None
        if self.stops:
            until = lambda ids: self.stops.find(vocabulary.text(ids)) is not None  # noqa: E731
        if self.beam == 1:
            drawn = sample_search(
                stream,
                self.sampler,
                start=start,
                end=end,
                max_length=self.max_length,
                rows=numbers,
                constraint=self.constraint,
                until=until,
                time_limit=self.limit.left,
            )
            found = [[decoded] for decoded in drawn]
        else:
            found = beam_search(
                stream,
                beam=self.beam,
                n_best=self.n_best,
                length_normalization=self.length_normalization,
                start=start,
                end=end,
                max_length=self.max_length,
                constraint=self.constraint,
                until=until,
                time_limit=self.limit.left,
            )
        return [[self._hypothesis(made, vocabulary) for made in answers] for answers in found]

    def _hypothesis(self, decoded: Decoded, vocabulary: Vocabulary) -> Hypothesis:
        ids, text = decoded.ids, vocabulary.text(decoded.ids)
        if (place := self.stops.find(text)) is not None:
            text = text[:place]
            while len(vocabulary.text(ids)) > place:
                ids = ids[:-1]
        symbols = tuple(vocabulary.decode(ids))
        return Hypothesis(symbols, ids, text, decoded.score, decoded.finished)


def search_for(
    *,
    beam: int,
    n_best: int,
    length_normalization: float,
    max_length: int,
    sampler: Sampler,
    constraint: Constraining | None,
    stop: str | Sequence[str],
    time_limit: float | None,
) -> Search:
    """The search that was asked for; the time runs from here.

    Raises InputError for impossible sizes, and for options of sampling beside a beam.
    """
    if not 1 <= n_best <= beam:
        raise InputError(f"expected 1 <= n_best <= beam, got n_best {n_best} and beam {beam}")
    if max_length < 1:
        raise InputError(f"max_length should be at least 1, got {max_length}")
    if beam > 1 and sampler != Sampler(temperature=0.0, seed=sampler.seed):
        raise InputError(f"expected no options of sampling with a beam, got beam {beam}: {sampler}")
    return Search(
        beam,
        n_best,
        length_normalization,
        max_length,
        sampler,
        as_constraint(constraint),
        StopStrings(stop),
        TimeLimit(time_limit),
    )


def batches_by_length(sequences: Sequence[Sized], size: int) -> Iterator[list[int]]:
    """Indices in batches of similar length; similar inputs also end after similar times."""
    order = sorted(range(len(sequences)), key=lambda index: len(sequences[index]))
    for first in range(0, len(order), size):
        yield order[first : first + size]
