"""The inputs over which a model is compared with itself: real text of its own data set."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from treadle.delay import Delay
from treadle.errors import ExportError
from treadle.manifest import SOURCE_MULTIPLE
from treadle.stacking import stacked
from treadle.texts import TextReading
from treadle.tokens import TokenReading
from treadle_export.engine import Arrays
from treadle_train.batching.labelled import encoded
from treadle_train.run import Run
from treadle_train.tasks.generation import conditioned_rows

LONGEST_SYMBOL = 32
"""Characters of text that are looked at for each symbol; words are rarely longer."""
STEPS = 1000
"""Carried steps: long enough for an error that grows to show."""


@dataclass(frozen=True, slots=True)
class Trace:
    """One row of real inputs: source [S, …] (int64 [0] without an encoder), inputs [N, …].

    symbols: int64 [M], what the predictor of an RNN-T reads; empty where there is none.
    """

    source: NDArray[Any]
    inputs: NDArray[Any]
    symbols: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))

    @property
    def padded_source(self) -> NDArray[np.int64]:
        """[1, S', …], padded with zeros as the runtime pads it."""
        width = -(-max(len(self.source), 1) // SOURCE_MULTIPLE) * SOURCE_MULTIPLE
        padded = np.zeros((1, width, *self.source.shape[1:]), self.source.dtype)
        padded[0, : len(self.source)] = self.source
        return padded


def trace_of(run: Run, steps: int = STEPS) -> Trace:
    """The first test examples of a run: a text, or one source under many targets.

    Where a step answers several symbols at a time, there are so many fewer of them.

    Raises:
        ExportError: the test data are shorter than the trace.
    """
    steps = -(-steps // run.network.answers)
    source, tokens = _READERS[run.network.task](run, steps)
    if len(tokens) < steps:
        raise ExportError(
            f"expected at least {steps} test symbols to carry a state over, got {len(tokens)}; "
            f"use a larger data set"
        )
    if not isinstance(source, np.ndarray):
        source = np.array(source, np.int64)
    symbols = _taken(_said(run), steps) if "predictor" in run.network.graphs else []
    return Trace(source, np.array(tokens), np.array(symbols, np.int64))


def _source_and_targets(run: Run, steps: int) -> tuple[list[int], list[int]]:
    """The longest source, and what a decoder reads of all of them."""
    examples = run.dataset().split("test")
    longest = max(examples[:steps], key=lambda example: len(example.inputs))
    reading = TextReading.of(run.vocabularies, run.decoding, "input")
    return reading.ids(longest.inputs, unknown="symbol"), _taken(_targets(run), steps)


def _text(run: Run, steps: int) -> tuple[list[int], list[int]]:
    text = run.dataset().split("test")[: LONGEST_SYMBOL * steps]
    return [], run.vocabularies["symbols"].encode(text, unknown="symbol")[:steps]


def _targets(run: Run) -> Iterator[int]:
    """What a decoder reads, pair after pair: the start symbol and the first target.

    Targets of the test split, then of the others for as long as they are few.
    """
    start, dataset = int(run.decoding["start"]), run.dataset()
    reading = TextReading.of(run.vocabularies, run.decoding, "output")
    for split in ("test", "validation", "train"):
        for example in dataset.split(split):
            ids = reading.known_ids(example.answers[0])
            if ids is not None:
                yield start
                yield from ids


def _taken(tokens: Iterator[int], count: int) -> list[int]:
    return [token for _, token in zip(range(count), tokens, strict=False)]


def _labelled(run: Run, steps: int) -> tuple[list[int], list[Any]]:
    """Sequences one after another, as if they were one."""
    rows: list[Any] = []
    for example in run.dataset().split("test"):
        rows += list(encoded(example, run.vocabularies))
        if len(rows) >= steps:
            break
    return [], rows[:steps]


def _series(run: Run, steps: int) -> tuple[list[int], Sequence[Any]]:
    return [], run.dataset().split("test")[:steps].of(run.decoding["channels"])


def _spoken(run: Run, steps: int) -> tuple[list[int], list[Any]]:
    """Utterances one after another, as if they were one."""
    rows: list[Any] = []
    for example in run.dataset().split("test"):
        rows += list(stacked(example.values, int(run.decoding["frames"])))
        if len(rows) >= steps:
            break
    return [], rows[:steps]


def _said(run: Run) -> Iterator[int]:
    """What a predictor reads, utterance after utterance: the blank and the transcript."""
    for example in run.dataset().split("test"):
        yield int(run.decoding["blank"])
        yield from run.vocabularies["output"].encode_symbols(example.symbols)


def _tagged(run: Run, steps: int) -> tuple[list[int], list[Any]]:
    """What the steps of sentences read, one after another, as if they were one."""
    reading = TokenReading.of(run.vocabularies["input"], run.decoding)
    delay = Delay.of(run.decoding) or Delay()
    read: list[Any] = []
    for example in run.dataset().split("test"):
        read += list(delay.read(reading.ids(example.tokens)[None])[0])
        if len(read) >= steps:
            break
    return [], read[:steps]


def _written(run: Run, steps: int) -> tuple[NDArray[Any], list[int]]:
    """What the first sequence is written for, and what is read of it and of those after it."""
    examples = run.dataset().split("test")[:steps]
    rows = conditioned_rows(examples, run.vocabularies, split="test")
    read = chain.from_iterable(row[:-1].tolist() for row in rows.written)
    return rows.given[:1], _taken(read, steps)


_READERS: dict[str, Callable[[Run, int], tuple[list[int] | NDArray[Any], Sequence[Any]]]] = {
    "classification": _labelled,
    "forecasting": _series,
    "generation": _written,
    "language-modelling": _text,
    "speech-transduction": _spoken,
    "tagging": _tagged,
    "transduction": _source_and_targets,
}
"""Task -> (run, steps) -> what an encoder reads, and what every step reads."""


def encode_feeds(trace: Trace) -> Arrays:
    """What an encoder reads: the trace's source, padded, and its length."""
    lengths = np.array([len(trace.source)], np.int64)
    return {"source": trace.padded_source, "source_lengths": lengths}
