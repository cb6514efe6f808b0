"""Transducer: one sequence of symbols to another, such as spelling to pronunciation."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from treadle.decoding import beam_search, greedy_search, read_logits
from treadle.errors import InputError
from treadle.model import Model
from treadle.score import Score, negative_log_probabilities
from treadle.searchable import decoding_id, longest_answer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from treadle.decoding import Decoded

# Rows of one stream. More brings little on a CPU, and a batch runs until its longest row ends.
_ROWS = 256


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """One answer: its symbols, their ids and text, and the score it is ranked by.

    Special symbols are left out of `symbols` and `text`. `score` is the log-probability of all
    symbols made with the end symbol, for a beam above 1 divided by the length penalty.
    `finished` is False when the answer was cut at `max_length`.
    """

    symbols: tuple[str, ...]
    ids: tuple[int, ...]
    text: str
    score: float
    finished: bool


class Transducer(Model):
    """A model of the task "transduction"; its vocabularies are "input" and "output"."""

    def transduce(
        self,
        texts: str | Sequence[str],
        *,
        beam: int = 1,
        n_best: int = 1,
        length_normalization: float = 0.6,
        max_length: int | None = None,
    ) -> list[list[Hypothesis]]:
        """The `n_best` answers for each text, best first, in the order of `texts`.

        A single string counts as a list of one; no texts give an empty list. `beam` 1 is greedy
        search, more is beam search with `length_normalization` (see `beam_search`). `max_length`
        limits the steps and defaults to the bundle's. Texts of similar length are decoded
        together; no answer depends on which. Raises InputError for an empty text, for a symbol
        outside the vocabulary (unless loaded with unknown="symbol") and for impossible sizes;
        StateError for logits that are not finite.
        """
        words = [texts] if isinstance(texts, str) else list(texts)
        if not 1 <= n_best <= beam:
            raise InputError(f"expected 1 <= n_best <= beam, got n_best {n_best} and beam {beam}")
        limit = self._max_length(max_length)
        sources = [self._encoded(word) for word in words]
        answers: list[list[Hypothesis]] = [[] for _ in words]
        for batch in _batches(sources, max(1, _ROWS // beam)):
            rows = [sources[index] for index in batch for _ in range(beam)]
            found = self._search(rows, beam, n_best, length_normalization, limit)
            for index, decoded in zip(batch, found, strict=True):
                answers[index] = [self._hypothesis(made) for made in decoded]
        return answers

    def score(self, texts: Sequence[str], answers: Sequence[str]) -> list[Score]:
        """How likely each answer is for its text, the end symbol included.

        Teacher-forced: every symbol is predicted from the right ones before it. Raises InputError
        for unequal counts, an empty text or a symbol outside a vocabulary.
        """
        if len(texts) != len(answers):
            raise InputError(
                f"expected one answer for each text, got {len(answers)} for {len(texts)} texts"
            )
        sources = [self._encoded(text) for text in texts]
        targets = [self._target(answer) for answer in answers]
        scores: dict[int, Score] = {}
        for batch in _batches(targets, _ROWS):
            found = self._forced([sources[i] for i in batch], [targets[i] for i in batch])
            scores.update(zip(batch, found, strict=True))
        return [scores[index] for index in range(len(texts))]

    def _target(self, answer: str) -> list[int]:
        ids = self.vocabularies["output"].encode(answer)
        return [*ids, decoding_id(self, "end", "output")]

    def _forced(self, sources: list[list[int]], targets: list[list[int]]) -> list[Score]:
        """Score the targets of one batch, the end symbol their last."""
        lengths = np.array([len(target) for target in targets], dtype=np.int64)
        inputs = np.zeros((len(targets), int(lengths.max())), dtype=np.int64)
        inputs[:, 0] = decoding_id(self, "start", "output")
        for row, target in enumerate(targets):
            inputs[row, 1 : len(target)] = target[:-1]
        with closing(self.stream(sources)) as stream:
            logits = read_logits(stream.unroll(inputs, lengths), 0)
        return [
            Score(negative_log_probabilities(made[: len(target)], np.array(target)))
            for made, target in zip(logits, targets, strict=True)
        ]

    def _max_length(self, asked: int | None) -> int:
        limit = longest_answer(self.manifest) if asked is None else asked
        if limit < 1:
            raise InputError(f"max_length should be at least 1, got {limit}")
        return limit

    def _encoded(self, word: str) -> list[int]:
        try:
            ids = self.vocabularies["input"].encode(word, unknown=self.unknown)
        except InputError as error:
            raise InputError(f"in {word!r}, {error}") from error
        if not ids:
            raise InputError(
                f"expected a text of at least one symbol, got {word!r}; leave empty texts out"
            )
        return ids

    def _search(
        self, rows: list[list[int]], beam: int, n_best: int, normalization: float, limit: int
    ) -> list[list[Decoded]]:
        start, end = (decoding_id(self, key, "output") for key in ("start", "end"))
        with closing(self.stream(rows)) as stream:
            if beam == 1:
                found = greedy_search(stream, start=start, end=end, max_length=limit)
                return [[decoded] for decoded in found]
            return beam_search(
                stream,
                beam=beam,
                start=start,
                end=end,
                max_length=limit,
                n_best=n_best,
                length_normalization=normalization,
            )

    def _hypothesis(self, decoded: Decoded) -> Hypothesis:
        vocabulary = self.vocabularies["output"]
        symbols = tuple(vocabulary.decode(decoded.ids))
        text = vocabulary.text(decoded.ids)
        return Hypothesis(symbols, decoded.ids, text, decoded.score, decoded.finished)


def _batches(sources: list[list[int]], size: int) -> Iterator[list[int]]:
    """Indices in batches of similar length; similar words also end after similar times."""
    order = sorted(range(len(sources)), key=lambda index: len(sources[index]))
    for first in range(0, len(order), size):
        yield order[first : first + size]
