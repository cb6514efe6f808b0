"""Measures what each product reads: X^T X of its real inputs, over calibration data.

The float32 graphs run with every recurrent layer lowered, teacher-forced, states carried from step
to step. Rows of a batch have one length, so no padding is counted. `x` and `h` of a recurrent
layer are inputs of two products and measured apart. A weight that several graphs use is known by
its name; what it reads is summed over the graphs `encode` and `sequence`, which have every product
that `step` has. The predictor of an RNN-T reads the transcript, and its joiner every step with what
the predictor made of the symbols that came before it, were they spread evenly over the steps.
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
    joined = _Joined(model, grams) if "joiner" in model.graphs else None
    for batch in data.batches:
        context = {} if encode is None else encode.run(_source_feeds(encode, batch))
        encoded = _carry(sequence, batch, context, model.initial_state(len(batch.inputs)))
        if joined is not None:
            joined.run(batch, encoded)
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


class _Joined:
    """The predictor and the joiner of an RNN-T."""

    def __init__(self, model: CanonicalModel, grams: dict[str, NDArray[np.float64]]) -> None:
        self._model = model
        self._predictor = _Observed(model.graphs["predictor"], grams)
        self._joiner = _Observed(model.graphs["joiner"], grams)

    def run(self, batch: Batch, encoded: NDArray[Any]) -> None:
        """The symbols of a batch, and what the encoder made of its frames [B, T, J]."""
        if batch.symbols is None:
            raise ValueError("a model with a predictor is calibrated with transcripts")
        rows, steps = encoded.shape[:2]
        places = np.arange(steps) * batch.symbols.shape[1] // steps
        predicted = self._predicted(batch.symbols)[:, places]
        names = [tensor.name for tensor in self._joiner.interface.inputs]
        read = [x.reshape(rows * steps, x.shape[-1]) for x in (encoded, predicted)]
        self._joiner.run(dict(zip(names, read, strict=True)))

    def _predicted(self, symbols: NDArray[np.int64]) -> NDArray[Any]:
        """What the predictor makes of symbols [B, U]: [B, U, J]."""
        interface = self._predictor.interface
        [token], [answer] = interface.inputs, interface.outputs
        initial = self._model.initial_state(len(symbols), "predictor")
        state = {port.input: initial[port.name] for port in interface.state}
        outputs = []
        for column in symbols.T:
            result = self._predictor.run({token.name: column, **state})
            state = {port.input: result[port.output] for port in interface.state}
            outputs.append(result[answer.name])
        return np.stack(outputs, axis=1)


def _source_feeds(encode: _Observed, batch: Batch) -> Arrays:
    source, lengths = encode.interface.inputs
    if batch.source is None:
        raise ValueError("a model with an encoder is calibrated with sources")
    rows, width = batch.source.shape[:2]
    return {source.name: batch.source, lengths.name: np.full(rows, width, np.int64)}


def _carry(sequence: _Observed, batch: Batch, context: Arrays, initial: Arrays) -> NDArray[Any]:
    """All steps in calls of at most `_STEPS`, states carried: their outputs [B, T, …]."""
    rows, steps = batch.inputs.shape[:2]
    x, lengths = sequence.interface.inputs
    ports = sequence.interface.state
    state = {port.input: initial[port.name] for port in ports}
    for port in ports:
        if isinstance(port.initial, dict) and "output" in port.initial:
            state[port.input] = context[port.initial["output"]]
    outputs = []
    for first in range(0, steps, _STEPS):
        chunk = batch.inputs[:, first : first + _STEPS]
        feeds = {x.name: chunk, lengths.name: np.full(rows, chunk.shape[1], np.int64)}
        result = sequence.run({**context, **feeds, **state})
        state = {port.input: result[port.output] for port in ports}
        outputs.append(result[sequence.interface.outputs[0].name])
    return np.concatenate(outputs, axis=1)
