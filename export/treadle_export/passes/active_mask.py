"""Gives a step graph its optional `active` input: a row that is not active keeps its state.

For engines that keep states on a device. On a processor the mask would be dear, a sixth of a small
model's step, and whoever holds the states can put back the rows that did not step.
"""

from dataclasses import replace

import numpy as np
import onnx_ir as ir

from treadle.manifest import Graph
from treadle_export.canonical import CanonicalGraph, CanonicalModel
from treadle_export.passes.rewriting import Emitter, applied, given, substitute

ACTIVE = "active"


def with_active_mask(model: CanonicalModel) -> CanonicalModel:
    """The model with a mask in a copy of its step graph, if it has such a graph."""
    step = model.graphs.get("step")
    if step is None or step.interface.active is not None:
        return model
    masked = applied([AddActiveMask(step.interface)], step.model.clone())
    graph = CanonicalGraph(masked, step.interface._replace(active=ACTIVE))
    return replace(model, graphs={**model.graphs, "step": graph})


class AddActiveMask(ir.passes.InPlacePass):
    """Selects, row by row, between the next state and the one that came in.

    The input `active` [batch] bool has an initializer of one true, which broadcasts: a caller who
    leaves it out steps every row (ONNX: an initializer with an input's name is its default).

    Ensures: the graph has the input, and every state output depends on it.
    """

    def __init__(self, interface: Graph) -> None:
        super().__init__()
        self.interface = interface

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        graph = model.graph
        default = ir.Tensor(np.array([True]), name=ACTIVE)
        active = ir.Value(
            name=ACTIVE,
            shape=ir.Shape(["active"]),
            type=ir.TensorType(ir.DataType.BOOL),
            const_value=default,
        )
        graph.inputs.append(active)
        graph.register_initializer(active)
        inputs = {value.name: value for value in graph.inputs}
        e = Emitter(graph)
        masks = {1: active}
        for port in self.interface.state:
            index = next(i for i, value in enumerate(graph.outputs) if value.name == port.output)
            computed, rank = graph.outputs[index], len(port.shape)
            if rank not in masks:
                masks[rank] = e.op("Unsqueeze", active, e.axes(*range(1, rank)))
            kept = e.op("Where", masks[rank], computed, inputs[port.input])
            kept.type, kept.shape = computed.type, computed.shape
            computed.name, kept.name = f"{port.output}.computed", port.output
            graph.outputs[index] = kept
        graph.extend(e.nodes)
        return ir.passes.PassResult(model, modified=True)

    def ensures(self, model: ir.Model) -> None:
        outputs = {value.name: value.producer() for value in model.graph.outputs}
        for port in self.interface.state:
            node = outputs[port.output]
            if node is None or node.op_type != "Where":
                raise ir.passes.PostconditionError(f"{port.output} does not depend on {ACTIVE}")


class RemoveActiveMask(ir.passes.InPlacePass):
    """Takes away what `AddActiveMask` added: every row steps again.

    Requires: every state output is chosen by a Where.
    Ensures: the graph has no input of that name.
    """

    def __init__(self, interface: Graph) -> None:
        super().__init__()
        self.interface = interface

    def requires(self, model: ir.Model) -> None:
        outputs = {value.name: value.producer() for value in model.graph.outputs}
        for port in self.interface.state:
            node = outputs.get(port.output)
            if node is None or node.op_type != "Where":
                raise ir.passes.PreconditionError(f"{port.output} does not depend on {ACTIVE}")

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        graph = model.graph
        outputs = {value.name: value for value in graph.outputs}
        for port in self.interface.state:
            kept = outputs[port.output]
            node = kept.producer()
            if node is not None:
                substitute(kept, given(node, 1))
        ir.passes.common.RemoveUnusedNodesPass()(model)
        active = next(value for value in graph.inputs if value.name == self.interface.active)
        graph.inputs.remove(active)
        graph.initializers.pop(ACTIVE, None)
        return ir.passes.PassResult(model, modified=True)

    def ensures(self, model: ir.Model) -> None:
        if any(value.name == ACTIVE for value in model.graph.inputs):
            raise ir.passes.PostconditionError(f"the input {ACTIVE} is left")
