"""Transducer: one sequence of symbols to another, such as spelling to pronunciation."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from treadle.decoding import (
    Sampler,
    StopStrings,
    TimeLimit,
    as_constraint,
    beam_search,
    read_logits,
    sample_search,
)
from treadle.errors import InputError
from treadle.model import Model
from treadle.score import Score, negative_log_probabilities
from treadle.searchable import decoding_id, longest_answer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from treadle.decoding import Constraining, Constraint, Decoded

# Rows of one stream. More brings little on a CPU, and a batch runs until its longest row ends.
_ROWS = 256


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
        temperature: float = 0.0,
        top_k: int | None = None,
        top_p: float | None = None,
        min_p: float | None = None,
        repetition_penalty: float = 1.0,
        seed: int = 0,
        constraint: Constraining | None = None,
        stop: str | Sequence[str] = (),
        time_limit: float | None = None,
    ) -> list[list[Hypothesis]]:
        """The `n_best` answers for each text, best first, in the order of `texts`.

        A single string counts as a list of one; no texts give an empty list. `beam` 1 is greedy
        search, more is beam search with `length_normalization` (see `beam_search`). `max_length`
        limits the steps and defaults to the bundle's. Texts of similar length are decoded
        together; no answer depends on which.

        With a `temperature` above 0 each answer is drawn, text number i as row i of the random
        numbers; for the options of drawing see `Sampler`. They and the penalty need a beam of 1.
        `constraint` holds for each answer; one that leaves fewer than `n_best` gives fewer. An
        answer ends before the first of the strings `stop` in its text. After `time_limit` seconds
        for all texts together every search ends with its next step: answers made by then are cut,
        and texts that come later get a single step.

        Raises InputError for an empty text, for a symbol outside the vocabulary (unless loaded
        with unknown="symbol"), for impossible sizes and options, and for a constraint that allows
        nothing at the start; StateError where it does so later, and for logits not finite.
        """
        words = [texts] if isinstance(texts, str) else list(texts)
        if not 1 <= n_best <= beam:
            raise InputError(f"expected 1 <= n_best <= beam, got n_best {n_best} and beam {beam}")
        sampler = Sampler(temperature, top_k, top_p, seed, min_p, repetition_penalty)
        if beam > 1 and sampler != Sampler(temperature=0.0, seed=seed):
            raise InputError(
                f"expected no options of sampling with a beam, got beam {beam}: {sampler}"
            )
        search = _Search(
            beam=beam,
            n_best=n_best,
            length_normalization=length_normalization,
            max_length=self._max_length(max_length),
            sampler=sampler,
            constraint=as_constraint(constraint),
            stops=StopStrings(stop),
            limit=TimeLimit(time_limit),
        )
        sources = [self._encoded(word) for word in words]
        answers: list[list[Hypothesis]] = [[] for _ in words]
        for batch in _batches(sources, max(1, _ROWS // beam)):
            found = self._search([sources[index] for index in batch], batch, search)
            for index, decoded in zip(batch, found, strict=True):
                answers[index] = [self._hypothesis(made, search.stops) for made in decoded]
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
        self, sources: list[list[int]], numbers: list[int], search: _Search
    ) -> list[list[Decoded]]:
        """Decode one batch, of the texts with these numbers."""
        vocabulary = self.vocabularies["output"]
        rows = [source for source in sources for _ in range(search.beam)]
        options: dict[str, Any] = {
            "start": decoding_id(self, "start", "output"),
            "end": decoding_id(self, "end", "output"),
            "max_length": search.max_length,
            "constraint": search.constraint,
            "time_limit": search.limit.left,
        }
        if search.stops:
            options["until"] = lambda ids: search.stops.find(vocabulary.text(ids)) is not None
        with closing(self.stream(rows)) as stream:
            if search.beam == 1:
                found = sample_search(stream, search.sampler, rows=numbers, **options)
                return [[decoded] for decoded in found]
            return beam_search(
                stream,
                beam=search.beam,
                n_best=search.n_best,
                length_normalization=search.length_normalization,
                **options,
            )

    def _hypothesis(self, decoded: Decoded, stops: StopStrings) -> Hypothesis:
        vocabulary = self.vocabularies["output"]
        ids, text = decoded.ids, vocabulary.text(decoded.ids)
        if (place := stops.find(text)) is not None:
            text = text[:place]
            while len(vocabulary.text(ids)) > place:
                ids = ids[:-1]
        symbols = tuple(vocabulary.decode(ids))
        return Hypothesis(symbols, ids, text, decoded.score, decoded.finished)


@dataclass(frozen=True, slots=True)
class _Search:
    """How one call of `transduce` searches, the same for all its batches."""

    beam: int
    n_best: int
    length_normalization: float
    max_length: int
    sampler: Sampler
    constraint: Constraint | None
    stops: StopStrings
    limit: TimeLimit


def _batches(sources: list[list[int]], size: int) -> Iterator[list[int]]:
    """Indices in batches of similar length; similar words also end after similar times."""
    order = sorted(range(len(sources)), key=lambda index: len(sources[index]))
    for first in range(0, len(order), size):
        yield order[first : first + size]
