"""Finds the batch and time axes of a foreign graph by running it: sizes are seen, not believed.

Declared dimensions of files are often wrong, fixed or 0, and symbolic inference stops at the first
Reshape. So the graph runs on inputs of a few sizes, every value is looked at, and an axis that
follows the batch is the batch axis.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from treadle.errors import UnsupportedGraph
from treadle_export.engine import Arrays, Engine, EngineError

BATCHES = (2, 3)
TIMES = (120, 240)
"""Steps of the two probes: multiples of every number of frames that a step may take together."""


@dataclass(frozen=True, slots=True)
class Axes:
    """Where an array has its batch and its time axis; None where it has none."""

    batch: int | None
    time: int | None


@dataclass(frozen=True, slots=True)
class Probed:
    """What the runs showed.

    axes: of every value of the graph that was looked at, by name.
    values: the arrays of the smallest run, for those who ask what a value is.
    lengths: steps along the time axis of a value, in the two runs of different time.
    runs: the arrays of all runs: the smallest, one of more steps, one of more rows.
    """

    axes: Mapping[str, Axes]
    values: Arrays
    lengths: Mapping[str, tuple[int, int]]
    runs: tuple[Arrays, Arrays, Arrays]


def probe(model: ir.Model, example: Arrays, states: Mapping[str, tuple[int, ...]]) -> Probed:
    """Runs a graph at several sizes.

    Args:
        model: the graph; its declared shapes are not looked at.
        example: the array of each input but states and lengths.
        states: name -> shape of each state input, -1 for the batch axis.

    Raises:
        UnsupportedGraph: it runs at one size of batch only, or at none.
    """
    engine = Engine(_observed(model), optimized=False)
    failures: list[str] = []
    for batch, time in _candidates(example):
        try:
            small, long, wide = (
                engine.run(_feeds(model, example, states, batch, time, rows, steps))
                for rows, steps in (
                    (BATCHES[0], TIMES[0]),
                    (BATCHES[0], TIMES[1]),
                    (BATCHES[1], TIMES[0]),
                )
            )
        except EngineError as error:
            failures.append(str(error).splitlines()[0])
            continue
        axes = {name: Axes(_moved(small, wide, name), _moved(small, long, name)) for name in small}
        if _plausible(model, axes, time):
            known = {name: Axes(batch, time) for name in example}
            lengths = {
                n: _lengths(n, a, small, long) for n, a in axes.items() if a.time is not None
            }
            if time is not None:
                lengths |= dict.fromkeys(example, TIMES)
            return Probed(axes | known, small | dict(example), lengths, (small, long, wide))
    raise UnsupportedGraph(
        f"expected a graph whose batch, and time if it has one, can have any size; it ran with no "
        f"reading of its input's axes ({failures[-1] if failures else 'no candidate'}); "
        f"treadle lint says which axis is frozen and how to export it again"
    )


def _observed(model: ir.Model) -> ir.Model:
    """A copy with every value of the main graph as an output, and no declared sizes."""
    copy = model.clone()
    outputs = set(copy.graph.outputs)
    for node in copy.graph:
        for value in node.outputs:
            # what a loop ends with may have no use yet: it becomes the next state
            if value.uses() or value in outputs or (value.name and node.op_type in _LOOPS):
                value.shape = None
                if value not in outputs:
                    copy.graph.outputs.append(value)
    for value in copy.graph.inputs:
        forget_sizes(value)
    return copy


def forget_sizes(value: ir.Value) -> None:
    """Drops the sizes that a value declares, and keeps its rank.

    The engine runs no Scan whose body has values of unknown rank.
    """
    value.shape = None if value.shape is None else ir.Shape([None] * len(value.shape))


def _candidates(example: Arrays) -> Iterator[tuple[int, int | None]]:
    """Readings of the inputs' axes as (batch, time), the usual ones first."""
    rank = max(array.ndim for array in example.values())
    yield from permutations(range(min(rank, 3)), 2)
    yield from ((axis, None) for axis in range(min(rank, 2)))


def _feeds(
    model: ir.Model,
    example: Arrays,
    states: Mapping[str, tuple[int, ...]],
    batch: int,
    time: int | None,
    rows: int,
    steps: int,
) -> Arrays:
    feeds = {name: resized(resized(a, batch, rows), time, steps) for name, a in example.items()}
    for name, shape in states.items():
        feeds[name] = np.zeros([rows if size < 0 else size for size in shape], np.float32)
    for value in model.graph.inputs:
        if str(value.name) not in feeds and value.const_value is None:
            dtype = value.dtype.numpy() if value.dtype is not None else np.int64
            feeds[str(value.name)] = np.full(rows, steps, dtype)
    return feeds


def resized(array: NDArray[Any], axis: int | None, size: int) -> NDArray[Any]:
    """`array` with `size` entries along `axis`, its own over and over."""
    if axis is None or axis >= array.ndim:
        return array
    taken: NDArray[Any] = np.take(array, np.arange(size) % array.shape[axis], axis=axis)
    return taken


def _moved(small: Arrays, other: Arrays, name: str) -> int | None:
    """The first axis whose size is not the same in both runs."""
    shapes = zip(np.shape(small[name]), np.shape(other[name]), strict=False)
    return next((axis for axis, (a, b) in enumerate(shapes) if a != b), None)


def _lengths(name: str, axes: Axes, small: Arrays, long: Arrays) -> tuple[int, int]:
    return small[name].shape[axes.time or 0], long[name].shape[axes.time or 0]


def _plausible(model: ir.Model, axes: Mapping[str, Axes], time: int | None) -> bool:
    """Whether recurrent layers read time first and batch second, and outputs have the batch."""
    layers = [node for node in model.graph if node.op_type in RECURRENT and node.inputs[0]]
    read = [axes[name] for name in _names(node.inputs[0] for node in layers) if name in axes]
    outputs = [axes[name] for name in _names(model.graph.outputs) if name in axes]
    layered = all(a.batch == 1 and (a.time == 0) == (time is not None) for a in read)
    return layered and all(a.batch is not None for a in outputs)


RECURRENT = frozenset({"LSTM", "GRU", "RNN"})
"""The operators that are one recurrent layer."""

_LOOPS = frozenset({"Loop", "Scan"})


def _names(values: Iterable[ir.Value | None]) -> list[str]:
    return [str(value.name) for value in values if value is not None]
