"""The canonical graph: the one form in which every model enters the compiler.

Standard ONNX, batch and time dynamic, one LSTM, GRU or RNN node a recurrent layer (with both its
directions), weights as initializers, true lengths, every state a named input and output.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import onnx_ir as ir

from treadle.manifest import Graph
from treadle_export.engine import Arrays

OPSET = 21
IR_VERSION = 10  # newer ones are refused by engines that devices still run

BOUND = "treadle.bound"
"""Key of `ir.Value.meta`: a number that the value's magnitude never exceeds, by construction."""


@dataclass(frozen=True, slots=True)
class CanonicalGraph:
    """One graph of a model, with the contract of its inputs, outputs and states."""

    model: ir.Model
    interface: Graph


@dataclass(frozen=True, slots=True)
class CanonicalModel:
    """The graphs of one model by name: `step`, `sequence` and, for a transducer, `encode`.

    looped: the sequence graph is the step graph in a loop over time, and is made from it again
        whenever that is rewritten.
    initial: state -> the row that it starts from, of the port's shape without "batch", for those
        that start from values of their own.
    """

    task: str
    graphs: Mapping[str, CanonicalGraph]
    looped: bool = False
    initial: Arrays = field(default_factory=dict)

    def initial_state(self, rows: int, graph: str = "sequence") -> Arrays:
        """State -> [rows, …]: what a graph starts from; zeros for what `encode` gives."""
        state: Arrays = {}
        for port in self.graphs[graph].interface.state:
            row = np.zeros([int(size) for size in port.shape[1:]], port.dtype)
            state[port.name] = np.repeat(self.initial.get(port.name, row)[None], rows, axis=0)
        return state

    def rewritten(self, rewrite: Callable[[str, ir.Model], ir.Model]) -> "CanonicalModel":
        """A new model: `rewrite(name, copy of the graph)` for every graph, this one untouched."""
        graphs = {
            name: replace(graph, model=rewrite(name, graph.model.clone()))
            for name, graph in self.graphs.items()
        }
        return replace(self, graphs=graphs)
