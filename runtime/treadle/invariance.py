"""Measures on this device whether a row's answer depends on its company or on chunks.

Four rows of different lengths (and, for a transducer, of different sources) run together and
alone, step by step and in calls of many steps: all outputs of two, and the last one of one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from treadle.ladder import Rung, compare
from treadle.manifest import TASKS
from treadle.tolerances import processor_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from treadle.golden import Golden
    from treadle.manifest import Manifest
    from treadle.model import Model
    from treadle.stream import Stream

_LENGTHS = (24, 7, 16, 1)
_SEED = 20


@dataclass(frozen=True, slots=True)
class Invariance:
    """The largest differences, and the rungs that hold them against the tolerances."""

    batch: float
    chunk: float
    rungs: tuple[Rung, ...]


def probe(model: Model, golden: Golden) -> Invariance:
    """Runs the same rows in company, alone, and in chunks."""
    rows = _rows(golden)
    sources = _sources(model, golden)
    with _stream(model, sources, rows) as stream:
        together = _stepped(stream, rows)
    alone, chunked, fed = [], [], []
    for index, row in enumerate(rows):
        source = sources[index : index + 1]
        with _stream(model, source, [row]) as stream:
            alone.append(_stepped(stream, [row])[0])
        with _stream(model, source, [row]) as stream:
            chunked.append(_unrolled(stream, row))
        with _stream(model, source, [row]) as stream:
            fed.append(flat_rows(stream.feed(row[None])))
    precision = judged_as(model.manifest)
    processor = processor_of(model.manifest.target, model.hardware.kind)
    chunks = _pairs(alone, chunked) + _pairs([steps[-1:] for steps in alone], fed)
    batch, chunk = (
        compare(name, precision, outputs=pairs, source="replayed", processor=processor)
        for name, pairs in (("batch", _pairs(alone, together)), ("chunk", chunks))
    )
    return Invariance(batch.max_abs, chunk.max_abs, (batch, chunk))


def judged_as(manifest: Manifest) -> str:
    """The precision whose tolerances hold: a screened head estimates its logits in 4 bits."""
    head = manifest.plan.get("head")
    screened = isinstance(head, dict) and "screened" in head
    exact = manifest.precision.startswith("int8") or manifest.precision == "int4"
    return "int4-block" if screened and exact else manifest.precision


def _rows(golden: Golden) -> list[NDArray[Any]]:
    """Inputs of each row, cut out of the golden trace at different places."""
    starts = np.linspace(0, len(golden.inputs) - max(_LENGTHS), len(_LENGTHS)).astype(int)
    pairs = zip(starts, _LENGTHS, strict=True)
    return [golden.inputs[start : start + length] for start, length in pairs]


def _sources(model: Model, golden: Golden) -> list[NDArray[Any]]:
    """The golden source, and others of lengths up to three times the encoder's padding."""
    if not golden.source.size:
        return []
    reading, random = model.reading("encode"), np.random.default_rng(_SEED)
    steps = TASKS[model.manifest.task].source_steps
    shapes = [(steps or length, *reading.features) for length in (1, 17, 40)]
    if reading.symbols is None:
        return [golden.source, *(random.standard_normal(shape, np.float32) for shape in shapes)]
    first = min(1, reading.symbols - 1)  # 0 is padding, where there is any
    others = [random.integers(first, reading.symbols, shape) for shape in shapes]
    return [golden.source, *others]


def _stream(model: Model, sources: list[NDArray[Any]], rows: list[NDArray[Any]]) -> Stream:
    return model.stream(sources) if sources else model.stream(batch_size=len(rows))


def _stepped(stream: Stream, rows: list[NDArray[Any]]) -> list[NDArray[np.float32]]:
    """The outputs of each row, one step at a time; a finished row goes on with its last input."""
    longest = max(map(len, rows))
    outputs = []
    for step in range(longest):
        inputs = np.stack([row[min(step, len(row) - 1)] for row in rows])
        outputs.append(flat_rows(stream.step(inputs)))
    stacked = np.stack(outputs, axis=1)
    return [stacked[index, : len(row)] for index, row in enumerate(rows)]


def _unrolled(stream: Stream, row: NDArray[Any]) -> NDArray[np.float32]:
    """The outputs of one row in two calls of unequal length."""
    cut = len(row) // 3
    parts = [row[:cut], row[cut:]] if cut else [row]
    made = [_first_row(stream.unroll(part[None])) for part in parts]
    return np.concatenate(made)


def flat_rows(outputs: Any) -> NDArray[np.float32]:
    """What a step gave, [rows, …] or several of them, as one array [rows, V]."""
    arrays = outputs if isinstance(outputs, tuple) else (outputs,)
    flat = [array.reshape(len(array), -1) for array in arrays]
    return flat[0] if len(flat) == 1 else np.concatenate(flat, axis=1)


def _first_row(outputs: Any) -> NDArray[np.float32]:
    """What `unroll` gave for the first row, [time, V]."""
    arrays = outputs if isinstance(outputs, tuple) else (outputs,)
    return flat_rows(tuple(array[0] for array in arrays))


def _pairs(
    expected: list[NDArray[np.float32]], actual: list[NDArray[np.float32]]
) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    return list(zip(expected, actual, strict=True))
