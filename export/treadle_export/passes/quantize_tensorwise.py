"""Products with constant weights by the engine's own dynamic quantization.

One scale for all activations of a call: fast in large batches, but a row beside a loud neighbour
is rounded more coarsely, and a chunk otherwise than its steps.

Operator: com.microsoft DynamicQuantizeMatMul.
"""

from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from treadle_export.passes.products import bias_after, bias_of, every, products_of
from treadle_export.passes.quantize import quantize_columns
from treadle_export.passes.rewriting import MICROSOFT, Emitter, constant_floats, given


class QuantizeTensorwise(ir.passes.InPlacePass):
    """Rewrites MatMul by a constant matrix, in the main graph and in bodies of Scan.

    chosen: by the name of the weights; all by default.
    Ensures: no chosen product with constant weights is left in float32.
    """

    def __init__(self, chosen: Callable[[str], bool] = every) -> None:
        super().__init__()
        self.chosen = chosen

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        products = products_of(model, self.chosen)
        for node in products:
            _quantize(node, model.graph)
        ir.passes.common.RemoveUnusedNodesPass()(model)
        if products:
            model.graph.opset_imports.setdefault(MICROSOFT, 1)
        return ir.passes.PassResult(model, modified=bool(products))

    def ensures(self, model: ir.Model) -> None:
        if products_of(model, self.chosen):
            raise ir.passes.PostconditionError("a float32 product is left")


def _quantize(node: ir.Node, root: ir.Graph) -> None:
    e, weights = Emitter(root), given(node, 1)
    array = constant_floats(weights)
    if array is None:
        raise ValueError(f"{node.name!r} has no constant weights")
    integers, scale = quantize_columns(array)
    bias_node = bias_after(node)
    product = e.op(
        "DynamicQuantizeMatMul",
        given(node, 0),
        e.constant(integers, f"{weights.name}.int8"),
        e.constant(scale, f"{weights.name}.scale"),
        e.constant(np.int8(0)),
        *([] if bias_node is None else [bias_of(bias_node)]),
        domain=MICROSOFT,
    )
    if bias_node is not None:
        node.outputs[0].shape = bias_node.outputs[0].shape
        Emitter(root).replace(bias_node, node.outputs[0])
    e.replace(node, product)
