"""LanguageModel: text from a prompt, symbol by symbol, and how likely a text is.

What a stream alone does not need is imported where it is used, so that a keyboard starts sooner.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, overload

import numpy as np

from treadle.errors import InputError
from treadle.model import Model
from treadle.searchable import decoding_id, vocabulary_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from treadle.answers import Hypothesis
    from treadle.decoding import Constraining
    from treadle.score import Score


class LanguageModel(Model):
    """A model of the task "language-modelling"; its vocabulary is "symbols"."""

    def generate(
        self,
        prompt: str = "",
        *,
        max_length: int,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        min_p: float | None = None,
        repetition_penalty: float = 1.0,
        seed: int = 0,
        constraint: Constraining | None = None,
        stop: str | Sequence[str] = (),
        time_limit: float | None = None,
    ) -> Iterator[str]:
        """The symbols that continue `prompt`, each as soon as it is made; at most `max_length`.

        The state is carried from symbol to symbol, so each costs one step. It stops early

        - at the end symbol, where the vocabulary has one;
        - where `constraint`, which holds for what is made after the prompt, lets nothing follow;
        - before the first of the strings `stop` in the text that is made, even where it spans
          symbols: what may belong to one is held back, and a symbol that one begins in is cut;
        - after the step that passes `time_limit` seconds. They count from the first symbol asked
          for, the prompt's time and the caller's between symbols included; no step is broken off.

        Symbol number t, from 0, draws the random number (seed, row 0, step t); see `Sampler` for
        temperature, top_k, top_p, min_p and repetition_penalty, which looks at the symbols made
        after the prompt. Raises InputError at once for a prompt outside the vocabulary or an
        impossible option, and while it runs StateError for logits that are not finite, StateError
        (before the first symbol InputError) for a constraint that allows no symbol.
        """
        from treadle.continuing import continued
        from treadle.decoding import Sampler

        vocabulary = vocabulary_of(self, "symbols")
        return continued(
            self.stream,
            [self._start, *vocabulary.encode(prompt, unknown=self.unknown)],
            vocabulary,
            Sampler(temperature, top_k, top_p, seed, min_p, repetition_penalty),
            max_length=max_length,
            constraint=constraint,
            stop=stop,
            time_limit=time_limit,
        )

    def complete(
        self,
        prompts: str | Sequence[str],
        *,
        max_length: int,
        beam: int = 1,
        n_best: int = 1,
        length_normalization: float = 0.6,
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
        """The `n_best` continuations of each prompt, best first, in the order of `prompts`.

        As `Transducer.transduce`, with the same options and errors: `beam` 1 is greedy search or,
        with a `temperature`, sampling with prompt number i as row i of the random numbers. A
        prompt is read in one call, with others of similar length; then each symbol costs one step
        of the batch, until its longest continuation ends. No answer depends on its company beyond
        what the bundle promises of batches.
        """
        from treadle.answers import batches_by_length, search_for
        from treadle.decoding import Sampler
        from treadle.score import padded_ids

        texts = [prompts] if isinstance(prompts, str) else list(prompts)
        search = search_for(
            beam=beam,
            n_best=n_best,
            length_normalization=length_normalization,
            max_length=max_length,
            sampler=Sampler(temperature, top_k, top_p, seed, min_p, repetition_penalty),
            constraint=constraint,
            stop=stop,
            time_limit=time_limit,
        )
        vocabulary = vocabulary_of(self, "symbols")
        read = [[self._start, *vocabulary.encode(t, unknown=self.unknown)] for t in texts]
        answers: dict[int, list[Hypothesis]] = {}
        for batch in batches_by_length(read, search.rows):
            rows = [read[index] for index in batch for _ in range(beam)]
            # The search itself reads the last symbol, so that it sees what comes after it.
            inputs, lengths = padded_ids([row[:-1] for row in rows])
            last = np.array([row[-1] for row in rows], np.int64)
            with closing(self.stream(batch_size=len(rows))) as stream:
                stream.feed(inputs, lengths)
                options = {"start": last, "end": vocabulary.end, "numbers": batch}
                found = search.run(stream, vocabulary, **options)  # type: ignore[arg-type]
            answers.update(zip(batch, found, strict=True))
        return [answers[index] for index in range(len(texts))]

    def perplexity(self, text: str) -> float:
        """How many symbols `text` leaves open on average: exp of the mean nats.

        Raises InputError as `score` does.
        """
        return self.score(text).perplexity

    @overload
    def score(self, texts: str) -> Score: ...

    @overload
    def score(self, texts: list[str] | tuple[str, ...]) -> list[Score]: ...

    def score(self, texts: str | list[str] | tuple[str, ...]) -> Score | list[Score]:
        """How likely a text, or each of several, is: every symbol predicted from all before it.

        The first is predicted from start. Texts of similar length are read together, in chunks
        with the state carried, about 512 symbols a call; logits become log-probabilities in
        float64. Raises InputError for an empty text or a symbol outside the vocabulary.
        """
        from treadle.answers import MOST_ROWS, batches_by_length
        from treadle.score import forced

        if isinstance(texts, str):
            return self.score([texts])[0]
        symbols = vocabulary_of(self, "symbols")
        encoded = [symbols.encode(text, unknown=self.unknown) for text in texts]
        if not all(encoded):
            raise InputError("expected texts of at least one symbol to score, got an empty one")
        scores: dict[int, Score] = {}
        for batch in batches_by_length(encoded, MOST_ROWS):
            with closing(self.stream(batch_size=len(batch))) as stream:
                targets = [encoded[index] for index in batch]
                scores.update(zip(batch, forced(stream, self._start, targets), strict=True))
        return [scores[index] for index in range(len(texts))]

    @property
    def _start(self) -> int:
        return decoding_id(self, "start", "symbols")
