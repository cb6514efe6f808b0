"""Classifier: which of a few labels a whole sequence has, and what it looks like so far."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from treadle.decoding import log_softmax, read_logits
from treadle.errors import BundleError, InputError
from treadle.model import Model
from treadle.score import negative_log_probabilities
from treadle.whole_reading import read_whole

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import ArrayLike, NDArray

    from treadle.arrays import Array

    Sequential = str | Sequence[int] | Array

# Rows of one call: enough that a call costs nothing against them, few enough for any memory.
_ROWS = 64


@dataclass(frozen=True, slots=True)
class Prediction:
    """The likeliest label with its probability, and the probability of every label by name."""

    label: str
    probability: float
    probabilities: dict[str, float]


class Classifier(Model):
    """A model of the task "classification": many to one.

    Its vocabularies are "labels" and, where it reads symbols and not frames of numbers, "input".
    One that reads in both directions has no stream; `classify` and `read` serve both kinds.
    """

    @property
    def labels(self) -> tuple[str, ...]:
        """What there is to choose from, in the order of the logits.

        Raises BundleError where the bundle has no labels, or not one for each logit.
        """
        outputs = self.manifest.graphs["sequence"].outputs
        labels = self.vocabularies["labels"].symbols if "labels" in self.vocabularies else ()
        if len(outputs) != 1 or outputs[0].shape[-1] != len(labels):
            raise BundleError(
                f"graphs.sequence of {self.manifest.name} should give one logit for each of the "
                f"{len(labels)} labels, got {[list(t.shape) for t in outputs]}; export the bundle "
                "again"
            )
        return labels

    def classify(self, inputs: Sequential | Sequence[Sequential]) -> list[Prediction]:
        """The prediction for each input, in their order.

        An input is a text, a list of ids, or an array: int64 [time] or float32 [time, features];
        one alone is a list of one. They may have any lengths: those of similar length are read
        together, 64 at a time, none sees another's length, and each costs as many steps as it is
        long. Raises InputError for an empty input, a symbol outside the vocabulary (see `load`),
        numbers that are not finite, and another dtype or shape.
        """
        alone = isinstance(inputs, str) or (
            len(inputs) > 0 and isinstance(inputs[0], int | np.integer)
        )
        alone = alone or (isinstance(inputs, np.ndarray) and inputs.dtype != object)
        rows: Any = [inputs] if alone else inputs
        return self.predictions(self.logits(rows))

    def logits(self, inputs: Sequence[Sequential]) -> NDArray[np.float32]:
        """Logits float32 [inputs, labels]; inputs and errors as those of `classify`."""
        rows = [self._encoded(index, one) for index, one in enumerate(inputs)]
        made = np.zeros((len(rows), len(self.labels)), np.float32)
        order = sorted(range(len(rows)), key=lambda index: len(rows[index]))
        for first in range(0, len(rows), _ROWS):
            chosen = order[first : first + _ROWS]
            x, lengths = self.reading("sequence").stacked([rows[index] for index in chosen])
            made[chosen] = self.read(x, lengths)
        return made

    def read(self, x: ArrayLike, lengths: ArrayLike | None = None) -> NDArray[np.float32]:
        """Logits float32 [batch, labels] of whole sequences.

        `x` int64 [batch, time] or float32 [batch, time, features], with `lengths` int64 [batch],
        each from 1 (default: all of it); what lies beyond a length is never looked at. Raises
        InputError.
        """
        if "step" not in self.manifest.graphs:
            whole: NDArray[np.float32] = read_whole(self, x, lengths)
            return whole
        x, lengths = self.reading("sequence").padded(x, lengths, "time", least=1)
        with closing(self.stream(batch_size=len(x))) as stream:
            last: NDArray[np.float32] = stream.feed(x, lengths)
            return last

    def running(self, one: Sequential) -> Iterator[Prediction]:
        """The prediction after each step of one input: what it looks like so far.

        The last is what `classify` gives. Each costs one step, when it is asked for. For input that
        is not there yet, open a `stream` and give what its `step` returns to `predictions`. Raises
        InputError as `classify`, StateError for a model that reads in both directions.
        """
        x = self._encoded(0, one)
        with closing(self.stream()) as stream:
            for step in x:
                yield from self.predictions(stream.step(step[None]))

    def predictions(self, logits: NDArray[np.float32]) -> list[Prediction]:
        """What logits [rows, labels] say, as `read` or a stream's `step` gave them.

        Softmax in float64. Raises StateError for logits that are not finite.
        """
        labels = self.labels
        shares = np.exp(log_softmax(read_logits(logits, 0)))
        return [
            Prediction(labels[best], float(row[best]), dict(zip(labels, row.tolist(), strict=True)))
            for row, best in zip(shares, shares.argmax(-1), strict=True)
        ]

    def nats(self, inputs: Sequence[Sequential], labels: Sequence[str]) -> NDArray[np.float64]:
        """How unlikely the right label of each input is: -log of its probability, float64 [N].

        Raises InputError as `classify`, and for a label that the model does not know.
        """
        known = {label: index for index, label in enumerate(self.labels)}
        if unknown := set(labels) - set(known):
            raise InputError(
                f"expected labels out of {', '.join(known)}, got {min(unknown)!r}; leave it out"
            )
        targets = np.array([known[label] for label in labels], np.int64)
        return negative_log_probabilities(self.logits(inputs), targets)

    def _encoded(self, index: int, one: Sequential) -> Array:
        """One input as the graph reads it, [time, …]."""
        reading = self.reading("sequence")
        if isinstance(one, str):
            if "input" not in self.vocabularies:
                raise InputError(
                    f"{self.manifest.name} reads frames of numbers, float32 [time, "
                    f"{', '.join(map(str, reading.features))}], got text"
                )
            one = self.vocabularies["input"].encode(one, unknown=self.unknown)
        x = np.asarray(one)
        if not x.size:
            raise InputError(f"input {index} is empty: there is nothing to classify; leave it out")
        return reading.array(x, "time")
