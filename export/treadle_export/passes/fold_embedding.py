"""Folds the product of an embedding with its first weights into one table.

A row of the embedding times a matrix is a row of their product: for a vocabulary smaller than the
embedding is wide, looking that up is smaller and faster than multiplying at every step. The table
holds what goes into gates, biases included, in 16 bits with one scale: eight would be coarse where
it holds large and small gates, and a scale for each row would have to be looked up beside it.
"""

from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from treadle_export.passes.products import (
    MOVES,
    bias_after,
    bias_of,
    is_product,
    product_name,
    reads_table,
)
from treadle_export.passes.rewriting import Emitter, constant_floats, given
from treadle_train.quantization.blocks import folds

LEVELS = 32767


def _eight_bits(_: str) -> int:
    return 8


class FoldEmbeddings(ir.passes.InPlacePass):
    """Replaces MatMul(moved(Gather(table, ids)), weights) + bias by moved(Gather(product, ids)).

    Only where the 16-bit product is not larger than the weights would be.

    weight_bits: how many bits the weights of a name would have; None leaves them alone.
    Ensures: no such product is left.
    """

    def __init__(self, weight_bits: Callable[[str], int | None] = _eight_bits) -> None:
        super().__init__()
        self.weight_bits = weight_bits

    def _nodes(self, model: ir.Model) -> list[ir.Node]:
        return [node for node in model.graph if _foldable(node, self.weight_bits)]

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        nodes = self._nodes(model)
        for node in nodes:
            _fold(node, model.graph)
        if nodes:
            ir.passes.common.RemoveUnusedNodesPass()(model)
        return ir.passes.PassResult(model, modified=bool(nodes))

    def ensures(self, model: ir.Model) -> None:
        if self._nodes(model):
            raise ir.passes.PostconditionError("an embedding that should be folded is left")


def _lookup(x: ir.Value | None) -> tuple[ir.Node | None, list[ir.Node]]:
    """The Gather that a value comes from, and the moves since, first to last."""
    moves: list[ir.Node] = []
    node = None if x is None else x.producer()
    while node is not None and node.op_type in MOVES:
        moves.insert(0, node)
        node = given(node, 0).producer()
    return (node if node is not None and reads_table(node) else None), moves


def _foldable(node: ir.Node, weight_bits: Callable[[str], int | None]) -> bool:
    gather, _ = _lookup(node.inputs[0]) if is_product(node) else (None, [])
    table = None if gather is None else constant_floats(gather.inputs[0])
    bits = None if table is None else weight_bits(product_name(given(node, 1)))
    return table is not None and bits is not None and folds(table.shape[0], table.shape[1], bits)


def _fold(node: ir.Node, graph: ir.Graph) -> None:
    e, weights = Emitter(graph), given(node, 1)
    gather, moves = _lookup(node.inputs[0])
    table = None if gather is None else constant_floats(gather.inputs[0])
    matrix = constant_floats(weights)
    if gather is None or table is None or matrix is None:
        raise ValueError(f"{node.name!r} multiplies no embedding")
    bias_node = bias_after(node)
    product = table.astype(np.float64) @ matrix.astype(np.float64)
    if bias_node is not None and (bias := constant_floats(bias_of(bias_node))) is not None:
        product += bias
    scale = np.float32(np.abs(product).max() / LEVELS) or np.float32(1)
    integers = np.rint(product / scale).astype(np.int16)
    ids = given(gather, 1)
    rows = e.op("Gather", e.constant(integers, f"{weights.name}.lookup"), ids, axis=0)
    value = e.op("Mul", e.op("Cast", rows, to=ir.DataType.FLOAT), e.constant(scale))
    for move in moves:
        attributes = {key: attr.value for key, attr in move.attributes.items()}
        value = e.op(move.op_type, value, *move.inputs[1:], **attributes)
    if bias_node is not None:
        node.outputs[0].shape = bias_node.outputs[0].shape
        Emitter(graph).replace(bias_node, node.outputs[0])
    e.replace(node, value)
