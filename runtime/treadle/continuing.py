"""What a model makes after some symbols, one by one, each as soon as it is there."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np

from treadle.decoding import (
    StopStrings,
    TimeLimit,
    allowed_mask,
    as_constraint,
    read_logits,
    until_stop,
)
from treadle.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from numpy.typing import NDArray

    from treadle.decoding import Constraining, Constraint, Sampler
    from treadle.stream import Stream
    from treadle.vocabulary import Vocabulary


def continued(
    open_stream: Callable[[], Stream],
    ids: list[int],
    vocabulary: Vocabulary,
    sampler: Sampler,
    *,
    max_length: int,
    constraint: Constraining | None = None,
    stop: str | Sequence[str] = (),
    time_limit: float | None = None,
) -> Iterator[str]:
    """The symbols that come after `ids`, the start symbol among them, in a stream of one row.

    `LanguageModel.generate` says when it stops. Raises InputError at once for an impossible
    option, and while it runs what that method raises.
    """
    if max_length < 0:
        raise InputError(f"max_length should be 0 or more, got {max_length}")
    TimeLimit(time_limit)  # refuses impossible ones now; the time runs from the first step
    stops = StopStrings(stop)
    made = _Made(vocabulary, sampler, as_constraint(constraint))
    symbols = _continued(open_stream, ids, made, max_length, time_limit)
    return until_stop(symbols, stops, vocabulary.space)


def _continued(
    open_stream: Callable[[], Stream],
    ids: list[int],
    made: _Made,
    max_length: int,
    time_limit: float | None,
) -> Generator[str, None, None]:
    limit = TimeLimit(time_limit)
    with closing(open_stream()) as stream:
        output = stream.feed(np.array([ids], dtype=np.int64))
        for step in range(max_length):
            token = made.next(read_logits(output, step))
            if token is None:
                return
            yield from made.vocabulary.decode(token.tolist())
            if limit.passed:
                return
            if step + 1 < max_length:
                output = stream.step(token)


class _Made:
    """The symbols that one continuation has so far, and the choice of the next."""

    def __init__(
        self, vocabulary: Vocabulary, sampler: Sampler, constraint: Constraint | None
    ) -> None:
        self.vocabulary = vocabulary
        self._sampler = sampler
        self._constraint = constraint
        self._state = None if constraint is None else constraint.start()
        self._ids: list[int] = []
        self._seen = np.zeros((1, len(vocabulary)), dtype=bool)

    def next(self, logits: NDArray[np.float32]) -> NDArray[np.int64] | None:
        """The next symbol from logits `[1, V]`, int64 `[1]`; None at the end."""
        end, allowed = self.vocabulary.end, None
        if self._constraint is not None:
            size = logits.shape[1]
            allowed = allowed_mask(self._constraint, self._state, self._ids, end, size)[None]
            if not allowed.any():
                return None
        token = self._sampler.draw(logits, len(self._ids), made=self._seen, allowed=allowed)
        symbol = int(token[0])
        if symbol == end:
            return None
        self._ids.append(symbol)
        self._seen[0, symbol] = True
        if self._constraint is not None:
            self._state = self._constraint.advance(self._state, symbol)
        return token
