"""Measures what each product reads: X^T X of its real inputs, over calibration data.

The float32 graphs run with every recurrent layer lowered, teacher-forced, states carried from step
to step. Rows of a batch have one length, so no padding is counted. `x` and `h` of a recurrent
layer are inputs of two products and measured apart. A weight that several graphs use is known by
its name; what it reads is summed over the graphs `encode` and `sequence`, which have every product
that `step` has.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from treadle_export.canonical import CanonicalGraph, CanonicalModel
from treadle_export.engine import Arrays, Engine
from treadle_export.passes.expose_inputs import expose_inputs
from treadle_export.passes.loop_over_time import loop_over_time
from treadle_export.passes.lower_recurrent import LowerRecurrent
from treadle_export.passes.rewriting import applied
from treadle_export.quantization.calibration_data import Batch, CalibrationData

_STEPS = 64  # of one call: bounds the memory, whatever the length of a row


@dataclass(frozen=True, slots=True)
class Calibration:
    """Product's name -> X^T X of its inputs, float64 [K, K]; and which examples were read."""

    grams: Mapping[str, NDArray[np.float64]]
    provenance: Mapping[str, Any]


def calibrate(model: CanonicalModel, data: CalibrationData) -> Calibration:
    """Runs the float32 graphs of a canonical model over `data`."""
    grams: dict[str, NDArray[np.float64]] = {}
    sequence = _Observed(_sequence(model), grams)
    encode = _Observed(model.graphs["encode"], grams) if "encode" in model.graphs else None
    for batch in data.batches:
        context = {} if encode is None else encode.run(_source_feeds(encode, batch))
        _carry(sequence, batch, context, model.initial_state(len(batch.inputs)))
    return Calibration(grams, data.provenance)


def _sequence(model: CanonicalModel) -> CanonicalGraph:
    """The sequence graph; one that is its step in a loop, with the layers within it lowered."""
    sequence = model.graphs["sequence"]
    if not model.looped:
        return sequence
    step = model.graphs["step"]
    cell = applied([LowerRecurrent("cell")], step.model.clone())
    return replace(sequence, model=loop_over_time(cell, step.interface, sequence.interface))


class _Observed:
    """A graph that notes what its products read, and adds it to `grams`."""

    def __init__(self, graph: CanonicalGraph, grams: dict[str, NDArray[np.float64]]) -> None:
        passes = [LowerRecurrent("scan"), ir.passes.common.NameFixPass()]
        model = applied(passes, graph.model.clone())
        self.interface = graph.interface
        self._exposed = expose_inputs(model)
        self._engine = Engine(model)
        self._grams = grams

    def run(self, feeds: Arrays) -> Arrays:
        """The graph's own outputs."""
        result = self._engine.run(feeds)
        for output, names in self._exposed.items():
            x = result.pop(output).astype(np.float64)
            self._add(names, x.reshape(-1, x.shape[-1]))
        return result

    def _add(self, names: Iterable[str], x: NDArray[np.float64]) -> None:
        gram = x.T @ x
        for name in names:
            self._grams[name] = self._grams[name] + gram if name in self._grams else gram


def _source_feeds(encode: _Observed, batch: Batch) -> Arrays:
    source, lengths = encode.interface.inputs
    if batch.source is None:
        raise ValueError("a model with an encoder is calibrated with sources")
    rows, width = batch.source.shape[:2]
    return {source.name: batch.source, lengths.name: np.full(rows, width, np.int64)}


def _carry(sequence: _Observed, batch: Batch, context: Arrays, initial: Arrays) -> None:
    """All steps of a batch in calls of at most `_STEPS`, states carried between them."""
    rows, steps = batch.inputs.shape[:2]
    x, lengths = sequence.interface.inputs
    ports = sequence.interface.state
    state = {port.input: initial[port.name] for port in ports}
    for port in ports:
        if isinstance(port.initial, dict) and "output" in port.initial:
            state[port.input] = context[port.initial["output"]]
    for first in range(0, steps, _STEPS):
        chunk = batch.inputs[:, first : first + _STEPS]
        feeds = {x.name: chunk, lengths.name: np.full(rows, chunk.shape[1], np.int64)}
        result = sequence.run({**context, **feeds, **state})
        state = {port.input: result[port.output] for port in ports}
