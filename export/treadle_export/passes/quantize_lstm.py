"""LSTM layers over whole sequences by the engine's own quantized kernel.

It reads a sequence in one node, where a Scan calls a dozen for every step: three times as fast for
one row. It rounds the inputs of all rows and steps with one scale, and so the states of all rows.

Operator: com.microsoft DynamicQuantizeLSTM.
"""

import numpy as np
import onnx_ir as ir

from treadle_export.passes.activations import USUAL
from treadle_export.passes.quantize import quantize_columns
from treadle_export.passes.recurrent_weights import lowerable, recurrence_of
from treadle_export.passes.rewriting import MICROSOFT, Emitter, constant_array, given

_PEEPHOLES = 7  # the last input of LSTM


def has_kernel(node: ir.Node) -> bool:
    """Whether the quantized kernel computes what a node does: an LSTM with the usual gates."""
    if node.op_type != "LSTM" or not lowerable(node):
        return False
    if any(constant_array(given(node, index)) is None for index in (1, 2)):
        return False
    named = node.attributes.get_strings("activations", ())
    return not named or tuple(named) in (USUAL["LSTM"], USUAL["LSTM"] * 2)


class QuantizeLSTM(ir.passes.InPlacePass):
    """Rewrites LSTM nodes that `has_kernel` allows. Ensures: none of these is left."""

    def _nodes(self, model: ir.Model) -> list[ir.Node]:
        return [node for node in model.graph if has_kernel(node)]

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        nodes = self._nodes(model)
        for node in nodes:
            _quantize(node, model.graph)
        if nodes:
            model.graph.opset_imports.setdefault(MICROSOFT, 1)
        return ir.passes.PassResult(model, modified=bool(nodes))

    def ensures(self, model: ir.Model) -> None:
        if self._nodes(model):
            raise ir.passes.PostconditionError("an LSTM is left in float32")


def _quantize(node: ir.Node, graph: ir.Graph) -> None:
    e, r = Emitter(graph), recurrence_of(node)
    inputs = [*node.inputs, *([None] * (_PEEPHOLES + 1 - len(node.inputs)))]
    for index, part in ((1, "input"), (2, "recurrent")):
        matrices = [getattr(direction, part) for direction in r.directions]
        integers, scales = zip(*map(quantize_columns, matrices), strict=True)
        inputs[index] = e.constant(np.stack(integers), f"{r.name}.{part}.int8")
        stacked = np.stack(scales)
        inputs.append(e.constant(stacked, f"{r.name}.{part}.scale"))
        inputs.append(e.constant(np.zeros(stacked.shape, np.int8)))
    attributes = {
        key: attribute.value
        for key, attribute in node.attributes.items()
        if key in ("direction", "hidden_size")
    }
    made = e.ops(
        "DynamicQuantizeLSTM",
        *inputs,
        outputs=len(node.outputs),
        domain=MICROSOFT,
        **attributes,
    )
    e.name_after(f"{r.name}.")
    e.replace(node, *made)
