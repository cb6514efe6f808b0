"""LanguageModel: text from a prompt, symbol by symbol, and how likely a text is."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np

from treadle.decoding import Sampler, read_logits
from treadle.errors import InputError
from treadle.model import Model
from treadle.score import Score, negative_log_probabilities
from treadle.searchable import decoding_id, vocabulary_of

if TYPE_CHECKING:
    from collections.abc import Iterator

# Steps of one call of the sequence graph: long enough that a call costs nothing against them.
_CHUNK = 512


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
        seed: int = 0,
    ) -> Iterator[str]:
        """The symbols that continue `prompt`, each as soon as it is made; at most `max_length`.

        The state is carried from symbol to symbol, so each costs one step. It stops early at the
        end symbol, where the vocabulary has one. Symbol number t, from 0, draws the random number
        (seed, row 0, step t); see `Sampler` for the other options. Raises InputError at once for
        a prompt outside the vocabulary or an impossible option, StateError while it runs for
        logits that are not finite.
        """
        sampler = Sampler(temperature, top_k, top_p, seed)
        if max_length < 0:
            raise InputError(f"max_length should be 0 or more, got {max_length}")
        vocabulary = vocabulary_of(self, "symbols")
        ids = [self._start, *vocabulary.encode(prompt, unknown=self.unknown)]
        return self._generate(ids, max_length, sampler)

    def _generate(self, ids: list[int], max_length: int, sampler: Sampler) -> Iterator[str]:
        vocabulary = self.vocabularies["symbols"]
        with closing(self.stream()) as stream:
            output = stream.feed(np.array([ids], dtype=np.int64))
            for made in range(max_length):
                token = sampler.draw(read_logits(output, made), made)
                if token[0] == vocabulary.end:
                    return
                yield from vocabulary.decode(token.tolist())
                if made + 1 < max_length:
                    output = stream.step(token)

    def score(self, text: str) -> Score:
        """How likely `text` is: every symbol predicted from all before it, the first from start.

        Runs in chunks with the state carried, logits to log-probabilities in float64. Raises
        InputError for an empty text or a symbol outside the vocabulary.
        """
        ids = vocabulary_of(self, "symbols").encode(text, unknown=self.unknown)
        if not ids:
            raise InputError("expected a text of at least one symbol to score, got an empty one")
        targets = np.array(ids, dtype=np.int64)
        inputs = np.array([self._start, *ids[:-1]], dtype=np.int64)
        nats = np.empty(len(ids), dtype=np.float64)
        with closing(self.stream()) as stream:
            for first in range(0, len(ids), _CHUNK):
                chunk = slice(first, first + _CHUNK)
                logits = read_logits(stream.unroll(inputs[None, chunk]), first)[0]
                nats[chunk] = negative_log_probabilities(logits, targets[chunk])
        return Score(nats)

    @property
    def _start(self) -> int:
        return decoding_id(self, "start", "symbols")
