"""Writes the stacked weights of a recurrent layer as one product a gate.

So the gates of a layer can be quantized apart, and what each of them loses be measured.
"""

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir

from treadle_export.passes.products import product_name, products_of
from treadle_export.passes.recurrent_weights import GATES, Recurrence, recurrence_of
from treadle_export.passes.rewriting import Emitter, constant_floats, given

GATE_NAMES = {
    "LSTM": ("input", "output", "forget", "cell"),
    "GRU": ("update", "reset", "candidate"),
    "RNN": ("hidden",),
}
"""Gates of each recurrent operator in ONNX's order."""


class SplitGates(ir.passes.InPlacePass):
    """Replaces MatMul(x, weights) by Concat of MatMul(x, weights of a gate).

    gates: name of a product -> the gates whose columns it holds, equally many each. The product of
        a gate is called after both: `decoder.layers.0.recurrent.forget`.
    Ensures: none of the products is left whole.
    """

    def __init__(self, gates: Mapping[str, tuple[str, ...]]) -> None:
        super().__init__()
        self.gates = gates

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        nodes = products_of(model, self.gates.__contains__)
        for node in nodes:
            _split(node, model.graph, self.gates[product_name(given(node, 1))])
        ir.passes.common.RemoveUnusedNodesPass()(model)
        return ir.passes.PassResult(model, modified=bool(nodes))

    def ensures(self, model: ir.Model) -> None:
        if products_of(model, self.gates.__contains__):
            raise ir.passes.PostconditionError("gates are left in one product")


def _split(node: ir.Node, root: ir.Graph, gates: tuple[str, ...]) -> None:
    e, weights = Emitter(root), given(node, 1)
    array = constant_floats(weights)
    if array is None:
        raise ValueError(f"{node.name!r} has no constant weights")
    name = product_name(weights)
    parts = [
        e.op("MatMul", given(node, 0), e.constant(np.ascontiguousarray(part), f"{name}.{gate}"))
        for gate, part in zip(gates, np.split(array, len(gates), axis=1), strict=True)
    ]
    e.replace(node, e.op("Concat", *parts, axis=-1))


def gates_of(graph: ir.Graph) -> dict[str, tuple[str, ...]]:
    """The products that recurrent nodes of a canonical graph become, and the gates in each."""
    gates: dict[str, tuple[str, ...]] = {}
    for node in graph:
        if node.op_type in GATES and len(GATE_NAMES[node.op_type]) > 1:
            gates |= _gates_of_layer(recurrence_of(node))
    return gates


def _gates_of_layer(r: Recurrence) -> dict[str, tuple[str, ...]]:
    names = GATE_NAMES[r.operator]
    gates: dict[str, tuple[str, ...]] = {}
    for direction in r.directions:
        layer = f"{r.name}{'.reverse' if direction.reverse else ''}".removeprefix("network.")
        gates[f"{layer}.input"] = names
        if r.operator == "GRU" and not r.linear_before_reset:
            gates[f"{layer}.recurrent.gates"] = names[:2]
        else:
            gates[f"{layer}.recurrent"] = names
    return gates
