"""A model from elsewhere before it is adopted: one ONNX graph, and the origin behind it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import onnx_ir as ir
from numpy.typing import NDArray

from treadle_export.engine import Arrays


@dataclass(frozen=True, slots=True)
class StatePair:
    """A state that a graph carries already: it comes in as `input` and leaves as `output`."""

    input: str
    output: str


@dataclass(frozen=True, slots=True)
class Foreign:
    """A float32 graph over whole sequences, or over one step, and where it came from.

    model: weights as initializers; batch and, if there is one, time are free axes. A recurrent
        layer is one ONNX LSTM, GRU or RNN node, or primitive operators between the two ends of a
        state. Initial states may be left out, be constants, be made inside, or be inputs.
    example: inputs by name, states left out; every one has at least 2 rows and, where the graph
        has a time axis, at least 4 steps.
    run: the origin itself. Inputs by name, of any batch and time -> outputs by name, those of the
        graph but states perhaps left out. States that are not given start at zero.
    lengths: the input [batch] that says how long each row is, if there is one.
    states: every pair that the graph carries and shows; of those of recurrent layers, ports are
        made from the layers themselves.
    inputs: real inputs, one batch as the model reads it, of any batch and time.
    own_example: whether the example is the user's; else it was made up.
    tensorwise: the origin rounds activations with one scale for a whole tensor, `model` does not.
    """

    name: str
    model: ir.Model
    example: Arrays
    run: Callable[[Arrays], Arrays]
    lengths: str | None = None
    states: tuple[StatePair, ...] = ()
    inputs: NDArray[Any] | None = None
    own_example: bool = False
    tensorwise: bool = False
    provenance: Mapping[str, str] = field(default_factory=dict)
