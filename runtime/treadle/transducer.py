"""Transducer: one text to another, such as spelling to pronunciation, or Japanese to English."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from treadle.answers import MOST_ROWS, Hypothesis, batches_by_length, search_for
from treadle.decoding import Sampler, read_logits
from treadle.decoding.beam import length_penalty
from treadle.errors import InputError
from treadle.model import Model
from treadle.score import Score, negative_log_probabilities
from treadle.searchable import decoding_id, longest_answer, usual_beam, usual_length_penalty
from treadle.texts import TextReading, detokenized

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from treadle.decoding import Constraining
    from treadle.texts import Side


RANKED_TOGETHER = 32
"""Answers that are ranked in one call: few, so that short ones do not wait for long ones."""


class Transducer(Model):
    """A model of the task "transduction"; its vocabularies are "input" and "output"."""

    def transduce(
        self,
        texts: str | Sequence[str],
        *,
        beam: int | None = None,
        n_best: int = 1,
        length_normalization: float | None = None,
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
        limits the steps. All three default to the bundle's, but what is drawn has a beam of 1.
        Texts of similar length are decoded together; no answer depends on which. Answers of words
        are written as one writes them (`texts.detokenized`).

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
        sampler = Sampler(temperature, top_k, top_p, seed, min_p, repetition_penalty)
        if beam is None:
            drawn = sampler != Sampler(temperature=0.0, seed=seed)
            beam = 1 if drawn else usual_beam(self.manifest)
        if length_normalization is None:
            length_normalization = usual_length_penalty(self.manifest)
        search = search_for(
            beam=beam,
            n_best=n_best,
            length_normalization=length_normalization,
            max_length=longest_answer(self.manifest) if max_length is None else max_length,
            sampler=sampler,
            constraint=constraint,
            stop=stop,
            time_limit=time_limit,
        )
        sources = [self._encoded(word) for word in words]
        answers: dict[int, list[Hypothesis]] = {}
        for batch in batches_by_length(sources, search.rows):
            rows = [sources[index] for index in batch for _ in range(search.beam)]
            with closing(self.stream(rows)) as stream:
                found = search.run(
                    stream,
                    self.vocabularies["output"],
                    start=decoding_id(self, "start", "output"),
                    end=decoding_id(self, "end", "output"),
                    numbers=batch,
                )
            answers.update(zip(batch, found, strict=True))
        return [list(map(self._written, answers[index])) for index in range(len(words))]

    def _written(self, answer: Hypothesis) -> Hypothesis:
        if self.vocabularies["output"].kind != "words":
            return answer
        return replace(answer, text=detokenized(answer.text))

    def score(self, texts: Sequence[str], answers: Sequence[str]) -> list[Score]:
        """How likely each answer is for its text, the end symbol included.

        Teacher-forced: every symbol is predicted from the right ones before it. Raises InputError
        for unequal counts, an empty text, or a symbol outside a vocabulary (unless loaded with
        unknown="symbol").
        """
        if len(texts) != len(answers):
            raise InputError(
                f"expected one answer for each text, got {len(answers)} for {len(texts)} texts"
            )
        sources = [self._encoded(text) for text in texts]
        targets = [self._target(answer) for answer in answers]
        scores: dict[int, Score] = {}
        for batch in batches_by_length(targets, MOST_ROWS):
            found = self._forced([sources[i] for i in batch], [targets[i] for i in batch])
            scores.update(zip(batch, found, strict=True))
        return [scores[index] for index in range(len(texts))]

    def rank(self, texts: Sequence[str], answers: Sequence[str]) -> NDArray[np.float64]:
        """How well each of A answers fits each of N texts, float64 [N, A]; more is better.

        The score by which beam search ranks with the bundle's length penalty, so it compares the
        answers to one text, not texts. An answer that cannot be written with the vocabulary gets
        -infinity. Raises InputError for an empty text, or a symbol of one outside the vocabulary.
        """
        alpha = usual_length_penalty(self.manifest)
        reading, sources = self.text_reading("output"), [self._encoded(text) for text in texts]
        places = [k for k, answer in enumerate(answers) if reading.known_ids(answer) is not None]
        targets = [self._target(answers[place]) for place in places]
        scores = np.full((len(texts), len(answers)), -np.inf)
        for batch in batches_by_length(targets, RANKED_TOGETHER):
            chosen = [targets[index] for index in batch]
            columns = [places[index] for index in batch]
            penalties = np.array([length_penalty(len(target), alpha) for target in chosen])
            for row, source in enumerate(sources):
                found = self._forced([source] * len(chosen), chosen)
                scores[row, columns] = -np.array([one.nats.sum() for one in found]) / penalties
        return scores

    def text_reading(self, side: Side) -> TextReading:
        """How texts become ids of the vocabulary "input" or "output"."""
        return TextReading.of(self.vocabularies, self.manifest.decoding, side)

    def _target(self, answer: str) -> list[int]:
        ids = self.text_reading("output").ids(answer, unknown=self.unknown)
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

    def _encoded(self, word: str) -> list[int]:
        try:
            ids = self.text_reading("input").ids(word, unknown=self.unknown)
        except InputError as error:
            raise InputError(f"in {word!r}, {error}") from error
        if not ids:
            raise InputError(
                f"expected a text of at least one symbol, got {word!r}; leave empty texts out"
            )
        return ids
