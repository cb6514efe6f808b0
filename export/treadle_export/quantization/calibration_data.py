"""Real inputs to calibrate with: examples of the split that a model was trained on."""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from treadle.data import Dataset, Series, open_dataset
from treadle.delay import Delay
from treadle.errors import ExportError
from treadle.evaluation import check_digest
from treadle.stacking import stacked
from treadle.texts import TextReading
from treadle.tokens import TokenReading
from treadle.vocabulary import Vocabulary
from treadle_export.bundle import Description
from treadle_train.batching.labelled import encoded
from treadle_train.tasks.generation import conditioned_rows

SPLIT = "train"

_LANES = 8  # places of a text that are read side by side
_ROWS = 64  # of one batch at most


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of one length, so that nothing is padded.

    inputs: what the recurrence reads, ids int64 [B, T] or numbers [B, T, …]; source: what an
    encoder reads, int64 [B, S] or float32 [B, S, …], None where there is none; symbols: what the
    predictor of an RNN-T reads, int64 [B, U], None where there is none.
    """

    inputs: NDArray[Any]
    source: NDArray[Any] | None = None
    symbols: NDArray[np.int64] | None = None


@dataclass(frozen=True, slots=True)
class CalibrationData:
    """Batches, and where they come from: the training split unless `origin` says otherwise."""

    batches: tuple[Batch, ...]
    examples: int
    unit: str
    origin: Mapping[str, str] = field(default_factory=lambda: {"split": SPLIT})

    @property
    def provenance(self) -> dict[str, Any]:
        """Origin, number of examples and digest of what they hold."""
        digest = hashlib.sha256()
        for batch in self.batches:
            for array in (batch.inputs, batch.source, batch.symbols):
                if array is not None:
                    digest.update(f"{array.shape}".encode() + array.tobytes())
        return {
            **self.origin,
            "examples": self.examples,
            "unit": self.unit,
            "digest": f"sha256:{digest.hexdigest()}",
        }


def calibration_data(
    task: str, description: Description, examples: int | None = None
) -> CalibrationData:
    """Examples spread evenly over the training split.

    Args:
        task: the model's.
        description: says the data set, the vocabularies and the start symbol.
        examples: in the task's unit; all there are where there are fewer, a default for None.

    Raises:
        DataError: the data set is missing or not the one of the training.
        ExportError: the model names no data set, or nothing is known of such a task.
    """
    if task not in READINGS:
        raise ExportError(
            f"no calibration is known for the task {task}; export with --calibration none"
        )
    reading = READINGS[task]
    split = _dataset(description).split(SPLIT)
    batches, count = reading.batches(split, description, examples or reading.default)
    return CalibrationData(batches, count, reading.unit)


def _dataset(description: Description) -> Dataset[Any]:
    name = description.evaluation.get("dataset")
    if not isinstance(name, str):
        raise ExportError(
            f"expected the model to name the data set it was trained on, got {name!r}; "
            f"export with --calibration none"
        )
    dataset = open_dataset(name, description.evaluation.get("options"))
    check_digest(dataset, description.provenance.get("data"))
    return dataset


def _spread(examples: list[Any], count: int) -> list[Any]:
    places = np.linspace(0, len(examples) - 1, min(count, len(examples))).astype(int)
    return [examples[place] for place in places]


def _lanes(text: str, symbols: Vocabulary, count: int) -> NDArray[np.int64]:
    """[B, T]: stretches of text that begin at evenly spread places, `count` characters in all.

    Where symbols are longer than characters, T is the length of the row that has the fewest.
    """
    count = min(count, len(text))
    lanes = min(_LANES, count)
    length = count // lanes
    begins = np.linspace(0, len(text) - length, lanes).astype(int)
    rows = [symbols.encode(text[begin : begin + length], unknown="symbol") for begin in begins]
    shortest = min(map(len, rows))
    return np.array([row[:shortest] for row in rows], np.int64)


def _text(text: str, description: Description, count: int) -> tuple[tuple[Batch, ...], int]:
    lanes = _lanes(text, description.vocabularies["symbols"], count)
    return (Batch(lanes),), lanes.size


def _pairs(
    examples: list[Any], description: Description, count: int
) -> tuple[tuple[Batch, ...], int]:
    """Pairs with equally long sources and equally long targets go together."""
    source = TextReading.of(description.vocabularies, description.decoding, "input")
    target = TextReading.of(description.vocabularies, description.decoding, "output")
    start = int(description.decoding["start"])
    chosen = _spread(examples, count)
    ids = [source.ids(pair.inputs, unknown="symbol") for pair in chosen]
    answers = [[start, *target.ids(pair.answers[0], unknown="symbol")] for pair in chosen]
    batches = tuple(
        Batch(
            np.array([answers[i] for i in part], np.int64),
            np.array([ids[i] for i in part], np.int64),
        )
        for part in _alike([(len(x), len(y)) for x, y in zip(ids, answers, strict=True)])
    )
    return batches, len(chosen)


def _labelled(
    examples: list[Any], description: Description, count: int
) -> tuple[tuple[Batch, ...], int]:
    """Sequences of one length go together."""
    rows = [encoded(one, description.vocabularies) for one in _spread(examples, count)]
    return _of_one_length(rows), len(rows)


def _tagged(
    examples: list[Any], description: Description, count: int
) -> tuple[tuple[Batch, ...], int]:
    """Sentences of one length go together, as the steps read them."""
    reading = TokenReading.of(description.vocabularies["input"], description.decoding)
    delay, chosen = Delay.of(description.decoding) or Delay(), _spread(examples, count)
    rows: list[NDArray[Any]] = [delay.read(reading.ids(one.tokens)[None])[0] for one in chosen]
    return _of_one_length(rows), len(rows)


def _spoken(
    examples: list[Any], description: Description, count: int
) -> tuple[tuple[Batch, ...], int]:
    """Utterances of one length go together; for an RNN-T, those of equally long transcripts."""
    frames, said = int(description.decoding["frames"]), description.vocabularies["output"]
    start = [int(description.decoding["blank"])]
    joins = description.decoding["kind"] == "rnn-t"
    chosen = _spread(examples, count)
    steps = [stacked(one.values, frames) for one in chosen]
    if not joins:
        return _of_one_length(steps), len(chosen)
    read = [start + said.encode_symbols(one.symbols) for one in chosen]
    batches = tuple(
        Batch(
            np.stack([steps[i] for i in part]),
            symbols=np.array([read[i] for i in part], np.int64),
        )
        for part in _alike([(len(x), len(u)) for x, u in zip(steps, read, strict=True)])
    )
    return batches, len(chosen)


def _of_one_length(rows: list[NDArray[Any]]) -> tuple[Batch, ...]:
    return tuple(Batch(np.stack([rows[i] for i in part])) for part in _alike([*map(len, rows)]))


def _alike(keys: Sequence[Any]) -> Iterator[list[int]]:
    """Places of equal keys, the smallest key first, at most _ROWS at a time."""
    groups: dict[Any, list[int]] = defaultdict(list)
    for place, key in enumerate(keys):
        groups[key].append(place)
    for _, places in sorted(groups.items()):
        yield from (places[first : first + _ROWS] for first in range(0, len(places), _ROWS))


def _written(
    examples: list[Any], description: Description, count: int
) -> tuple[tuple[Batch, ...], int]:
    """Sequences of one length go together, each with what it is written for."""
    chosen = _spread(examples, count)
    rows = conditioned_rows(chosen, description.vocabularies, split=SPLIT)
    batches = tuple(
        Batch(np.stack([rows.written[i][:-1] for i in part]), rows.given[part][:, None])
        for part in _alike(rows.lengths.tolist())
    )
    return batches, len(chosen)


def _series(series: Series, description: Description, count: int) -> tuple[tuple[Batch, ...], int]:
    """Stretches of the series that begin at evenly spread places."""
    frames = series.of(description.decoding["channels"])
    count = min(count, len(frames))
    lanes = min(_LANES, count)
    length = count // lanes
    begins = np.linspace(0, len(frames) - length, lanes).astype(int)
    rows = np.stack([frames[begin : begin + length] for begin in begins])
    return (Batch(rows),), lanes * length


@dataclass(frozen=True, slots=True)
class Reading:
    """How a task's training split is read.

    default: examples, counted in `unit`, where none are asked for. batches: (examples of the
    split, the model's description, how many) -> batches, and how many they hold.
    """

    default: int
    unit: str
    batches: Callable[[Any, Description, int], tuple[tuple[Batch, ...], int]]


READINGS: dict[str, Reading] = {
    "classification": Reading(1_000, "sequences", _labelled),
    "forecasting": Reading(4_000, "frames", _series),
    "generation": Reading(200, "sequences", _written),
    "language-modelling": Reading(20_000, "symbols", _text),
    "speech-transduction": Reading(500, "utterances", _spoken),
    "tagging": Reading(1_000, "sentences", _tagged),
    "transduction": Reading(4_000, "pairs", _pairs),
}
