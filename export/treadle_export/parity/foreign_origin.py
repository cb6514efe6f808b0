"""A foreign model as the origin of a bundle: whatever framework it came from, run as it is."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from treadle_export.adoption.adopt import Adopted
from treadle_export.canonical import CanonicalModel
from treadle_export.engine import Arrays
from treadle_export.parity.ladder import flattened
from treadle_export.parity.origin import Floats, Reference
from treadle_export.parity.trace import STEPS, Trace

_PREFIXES = 12
_SEED = 11


class ForeignOrigin:
    """Runs the trace in the model's own framework: at once, by prefixes, or carried."""

    def __init__(self, adopted: Adopted) -> None:
        self.adopted = adopted

    def reference(self, canonical: CanonicalModel, trace: Trace) -> Reference:
        """Runs the trace, one row, from the initial state.

        At once where every step has its output; by prefixes of the trace where only the last has
        one; step by step, states carried, where the model is one step.
        """
        layout = self.adopted.layout
        if layout.axes.time is None:
            steps, outputs = np.arange(len(trace.inputs)), self._stepped(trace.inputs)
        elif layout.aligned:
            steps, outputs = np.arange(len(trace.inputs)), self._unrolled(trace.inputs)
        else:
            ends = np.geomspace(1, len(trace.inputs), _PREFIXES).astype(np.int64)
            steps = np.unique(ends) - 1
            outputs = np.stack([self._unrolled(trace.inputs[: end + 1])[-1] for end in steps])
        precision = "int8-tensorwise" if self.adopted.foreign.tensorwise else "float32"
        return Reference((), canonical.initial_state(1), steps, outputs, precision=precision)

    def _unrolled(self, inputs: NDArray[Any]) -> Floats:
        """[N, …] -> outputs [N, V], or [1, V] of those that only the end has."""
        layout, foreign = self.adopted.layout, self.adopted.foreign
        time, batch = layout.axes.time or 0, layout.axes.batch or 0
        rows = inputs.reshape(-1, *inputs.shape[2:]) if layout.frames > 1 else inputs
        x = np.moveaxis(rows[None], (0, 1), (batch, time))
        feeds: Arrays = {layout.input.name: np.ascontiguousarray(x)}
        if foreign.lengths is not None:
            feeds[foreign.lengths] = np.array([len(rows)])
        made = foreign.run(feeds)
        return flattened([self._row(made, tensor.name) for tensor in layout.outputs])

    def _row(self, made: Arrays, name: str) -> NDArray[Any]:
        """The first row of an output, [N, …]; of one without time, or beside such, its end."""
        axes, array = self.adopted.layout.inside[name], made[name]
        if axes.time is None:
            end: NDArray[Any] = array.take([0], axis=axes.batch or 0)
            return np.moveaxis(end, axes.batch or 0, 0)
        row: NDArray[Any] = np.moveaxis(array, (axes.batch or 0, axes.time), (0, 1))[0]
        return row if self.adopted.layout.aligned else row[-1:]

    def _stepped(self, inputs: NDArray[Any]) -> Floats:
        layout, foreign = self.adopted.layout, self.adopted.foreign
        state: Arrays = {}
        outputs = []
        for x in inputs:
            feeds = {layout.input.name: np.expand_dims(x, layout.axes.batch or 0), **state}
            made = foreign.run(feeds)
            state = {pair.input: made[pair.output] for pair in foreign.states}
            outputs.append(flattened([self._row(made, t.name) for t in layout.outputs])[0])
        return np.stack(outputs)


def trace_of_foreign(adopted: Adopted, steps: int = STEPS) -> Trace:
    """What an adopted model is compared over: its inputs over and over, as one row."""
    layout, foreign = adopted.layout, adopted.foreign
    example = foreign.example[layout.input.name] if foreign.inputs is None else foreign.inputs
    inputs = _one_row(example, adopted)
    needed = steps * layout.frames
    repeated = np.take(inputs, np.arange(needed) % len(inputs), axis=0)
    shape = (steps, layout.frames, *repeated.shape[1:]) if layout.frames > 1 else repeated.shape
    return Trace(np.zeros(0, np.int64), np.ascontiguousarray(repeated.reshape(shape)))


def _one_row(example: NDArray[Any], adopted: Adopted) -> NDArray[Any]:
    """The example's rows one after another, [time, …]; noise where it has one value only."""
    axes = adopted.layout.axes
    if axes.time is None:
        row = np.moveaxis(example, axes.batch or 0, 0)
    else:
        rows = np.moveaxis(example, (axes.batch or 0, axes.time), (0, 1))
        row = rows.reshape(-1, *rows.shape[2:])
    if row.dtype.kind == "f" and np.ptp(row) == 0:
        random = np.random.default_rng(_SEED)
        return random.normal(size=(STEPS, *row.shape[1:])).astype(row.dtype)
    return row
