"""Products with constant weights in blocks of 4- or 8-bit integers.

Each block of weights has its own scale, and so has each block of a row of activations, which the
kernel rounds to 8 bits itself (`accuracy_level` 4). The bias is an input of the operator.

Operator: com.microsoft MatMulNBits.
"""

from collections.abc import Callable

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from treadle_export.passes.products import (
    bias_after,
    bias_of,
    every,
    product_name,
    products_of,
)
from treadle_export.passes.rewriting import MICROSOFT, Emitter, constant_floats, given
from treadle_export.rounding.blocks import BlockWeights

INT8_ACTIVATIONS = 4  # of the attribute accuracy_level: products of integers

Round = Callable[[str, NDArray[np.float32]], BlockWeights]
"""(name, weights [K, N]) -> the weights in blocks."""


class QuantizeBlocks(ir.passes.InPlacePass):
    """Rewrites MatMul by a constant matrix, in the main graph and in bodies of Scan.

    round_weights: how the weights of a name are rounded; chosen: by name, all by default.
    Ensures: no chosen product with constant weights is left in float32.
    """

    def __init__(self, round_weights: Round, chosen: Callable[[str], bool] = every) -> None:
        super().__init__()
        self.round_weights = round_weights
        self.chosen = chosen

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        products = products_of(model, self.chosen)
        for node in products:
            _quantize(node, model.graph, self.round_weights)
        ir.passes.common.RemoveUnusedNodesPass()(model)
        if products:
            model.graph.opset_imports.setdefault(MICROSOFT, 1)
        return ir.passes.PassResult(model, modified=bool(products))

    def ensures(self, model: ir.Model) -> None:
        if products_of(model, self.chosen):
            raise ir.passes.PostconditionError("a float32 product is left")


def _quantize(node: ir.Node, root: ir.Graph, round_weights: Round) -> None:
    e, weights = Emitter(root), given(node, 1)
    array = constant_floats(weights)
    if array is None:
        raise ValueError(f"{node.name!r} has no constant weights")
    blocks = round_weights(product_name(weights), array)
    stored = f"{weights.name}.int{blocks.form.bits}"
    bias_node = bias_after(node)
    inputs: list[ir.Value | None] = [
        given(node, 0),
        e.constant(blocks.packed(), stored),
        e.constant(blocks.packed_scales(), f"{stored}.scale"),
    ]
    if bias_node is not None:
        inputs += [None, None, bias_of(bias_node)]  # no zero points, no order of the inputs
    product = e.op(
        "MatMulNBits",
        *inputs,
        domain=MICROSOFT,
        K=array.shape[0],
        N=array.shape[1],
        bits=blocks.form.bits,
        block_size=blocks.form.block_size,
        accuracy_level=INT8_ACTIVATIONS,
    )
    if bias_node is not None:
        node.outputs[0].shape = bias_node.outputs[0].shape
        Emitter(root).replace(bias_node, node.outputs[0])
    e.replace(node, product)
