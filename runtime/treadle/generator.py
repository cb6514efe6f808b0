"""Generator: a sequence of symbols from one label, or from one vector."""

from __future__ import annotations

from contextlib import closing
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import numpy as np

from treadle.answers import MOST_ROWS, Hypothesis, batches_by_length, search_for
from treadle.continuing import continued
from treadle.decoding import Sampler
from treadle.errors import BundleError, InputError
from treadle.model import Model
from treadle.score import Score, forced
from treadle.searchable import decoding_id, longest_answer, vocabulary_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import ArrayLike, NDArray

    from treadle.arrays import Array
    from treadle.decoding import Constraining

    Given = str | Sequence[str] | NDArray[np.float32] | Sequence[NDArray[np.float32]]

_SHOWN = 20  # labels that an error lists


class Generator(Model):
    """A model of the task "generation": one to many.

    Its vocabularies are "output" and, where it is given labels and not vectors, "labels". What is
    given is a source of one step: `stream(model.sources(["jazz"]))` opens a stream for it.
    """

    @property
    def labels(self) -> tuple[str, ...]:
        """What it knows to write for; empty where vectors are given."""
        return self.vocabularies["labels"].symbols if "labels" in self.vocabularies else ()

    @property
    def features(self) -> int | None:
        """Numbers of a vector; None where labels are given."""
        sizes = self.reading("encode").features
        return int(sizes[0]) if sizes else None

    def generate(
        self,
        given: Given,
        *,
        prompt: str = "",
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
        """The `n_best` sequences for each label or vector, best first, in their order.

        `given` is a label or several, or float32 [features] or [rows, features]; one alone is a
        list of one. `prompt` is how all begin; what is returned is what comes after. `beam` 1 is
        greedy search or, with a `temperature`, sampling with number i of `given` as row i of the
        random numbers: so the same label several times gives several sequences. The other options
        are those of `Transducer.transduce`. Rows share engine calls, each ends on its own, and none
        depends on its company beyond what the bundle promises of batches.

        Raises InputError for an unknown label, naming the nearest, for a vector of another size or
        not finite, and what `Transducer.transduce` raises.
        """
        search = search_for(
            beam=beam,
            n_best=n_best,
            length_normalization=length_normalization,
            max_length=self._longest(max_length),
            sampler=Sampler(temperature, top_k, top_p, seed, min_p, repetition_penalty),
            constraint=constraint,
            stop=stop,
            time_limit=time_limit,
        )
        sources, ids = self.sources(given), self._begun(prompt)
        vocabulary, end = vocabulary_of(self, "output"), decoding_id(self, "end", "output")
        answers: list[list[Hypothesis]] = []
        for first in range(0, len(sources), search.rows):
            numbers = range(first, min(first + search.rows, len(sources)))
            rows = np.repeat(sources[first : first + search.rows], beam, axis=0)
            with closing(self.stream(rows)) as stream:
                if ids[:-1]:  # the search itself reads the last symbol
                    stream.feed(np.array([ids[:-1]] * len(rows), np.int64))
                answers += search.run(stream, vocabulary, start=ids[-1], end=end, numbers=numbers)
        return answers

    def running(
        self,
        given: str | ArrayLike,
        *,
        prompt: str = "",
        max_length: int | None = None,
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
        """The symbols for one label or vector after `prompt`, each as soon as it is made.

        As row 0 of `generate`, but that drawing is the default; for when it stops, and for errors
        while it runs, see `LanguageModel.generate`. Raises InputError at once as `generate` does.
        """
        sources = self.sources(given)  # type: ignore[arg-type]
        if len(sources) != 1:
            raise InputError(f"running writes one sequence, got {len(sources)} to write for")
        return continued(
            lambda: self.stream(sources),
            self._begun(prompt),
            vocabulary_of(self, "output"),
            Sampler(temperature, top_k, top_p, seed, min_p, repetition_penalty),
            max_length=self._longest(max_length),
            constraint=constraint,
            stop=stop,
            time_limit=time_limit,
        )

    def score(self, given: Given, texts: Sequence[str]) -> list[Score]:
        """How likely each text is for its label or vector, the end symbol included.

        Teacher-forced: every symbol is predicted from the right ones before it. Raises InputError
        for unequal counts, a symbol outside the vocabulary (see `load`), and as `generate` does.
        """
        sources = self.sources(given)
        if len(sources) != len(texts):
            raise InputError(
                f"expected one text for each label or vector, got {len(texts)} texts for "
                f"{len(sources)}"
            )
        vocabulary, end = vocabulary_of(self, "output"), decoding_id(self, "end", "output")
        start = decoding_id(self, "start", "output")
        targets = [[*vocabulary.encode(text, unknown=self.unknown), end] for text in texts]
        scores: dict[int, Score] = {}
        for batch in batches_by_length(targets, MOST_ROWS):
            with closing(self.stream(sources[batch])) as stream:
                made = forced(stream, start, [targets[index] for index in batch])
            scores.update(zip(batch, made, strict=True))
        return [scores[index] for index in range(len(texts))]

    def sources(self, given: Given) -> Array:
        """What `stream` reads for labels, int64 [rows, 1], or for vectors, float32 [rows, 1, F].

        Raises InputError as `generate` does, BundleError for a bundle without its labels.
        """
        if self.features is None:
            labels = [given] if isinstance(given, str) else list(given)
            return np.array([self._label(label) for label in labels], np.int64).reshape(-1, 1)
        reading = self.reading("encode")
        vectors = np.asarray(given, np.float32) if not isinstance(given, str) else np.empty(0)
        if vectors.shape == (self.features,):
            vectors = vectors[None]
        if vectors.ndim != 2 or vectors.shape[1] != self.features:
            raise InputError(
                f"expected vectors float32 [rows, {self.features}], got "
                f"{given!r:.60} of the shape {list(vectors.shape)}"
            )
        reading.check_values(vectors)
        return vectors[:, None]

    def _label(self, label: Any) -> int:
        labels = self.labels
        if not labels:
            raise BundleError(
                f"{self.manifest.name} has no vocabulary 'labels'; export the bundle again"
            )
        if label not in labels:
            near = get_close_matches(str(label), labels, n=1, cutoff=0.0)
            shown = ", ".join(labels[:_SHOWN]) + (", …" if len(labels) > _SHOWN else "")
            raise InputError(
                f"there is no label {label!r}; the nearest is {near[0]!r}, there are {shown}"
            )
        return labels.index(label)

    def _begun(self, prompt: str) -> list[int]:
        """The start symbol, then what a prompt has."""
        begin = decoding_id(self, "start", "output")
        return [begin, *vocabulary_of(self, "output").encode(prompt, unknown=self.unknown)]

    def _longest(self, max_length: int | None) -> int:
        return longest_answer(self.manifest) if max_length is None else max_length
