"""Stores a matrix once that is an embedding table and, transposed, the weights of a product.

A tied output layer multiplies by the embedding's matrix turned round. The product reads it through
a Transpose in the main graph, outside of loops, which onnxruntime computes once, when a session
opens: a step is neither slower nor larger in memory than with weights of its own.

Operator: ONNX Transpose. Source of tied layers: Press and Wolf 2017.
"""

import numpy as np
import onnx_ir as ir

from treadle_export.passes.rewriting import given, substitute

_SMALLEST = 2  # of either axis; a vector is no table


class ShareTransposed(ir.passes.InPlacePass):
    """Replaces each constant matrix [K, N] that equals a table [N, K] by that table's Transpose.

    Tables are what Gather reads rows of. Types and every number have to be the same.
    Ensures: no such matrix is left among the initializers.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        pairs = _pairs(model)
        for weights, table in pairs:
            _share(model.graph, weights, table)
        return ir.passes.PassResult(model, modified=bool(pairs))

    def ensures(self, model: ir.Model) -> None:
        if _pairs(model):
            raise ir.passes.PostconditionError("a matrix is stored twice")


def _pairs(model: ir.Model) -> list[tuple[ir.Value, ir.Value]]:
    """Weights and the table that they are the transpose of."""
    tables = _tables(model)
    others = [value for value in model.graph.initializers.values() if value not in tables]
    return [
        (value, table)
        for value in others
        if not value.is_graph_input()
        for table in tables
        if _is_transpose(value, table)
    ]


def _tables(model: ir.Model) -> list[ir.Value]:
    gathers = [
        node
        for node in ir.traversal.RecursiveGraphIterator(model.graph)
        if node.op_type == "Gather" and node.attributes.get_int("axis", 0) == 0
    ]
    named = {given(node, 0).name: given(node, 0) for node in gathers}
    return [value for name, value in named.items() if name in model.graph.initializers]


def _is_transpose(weights: ir.Value, table: ir.Value) -> bool:
    """Whether both are constant matrices of one type, and one is the other turned round."""
    a, b = weights.const_value, table.const_value
    if a is None or b is None or a.dtype != b.dtype or len(a.shape) != 2 or len(b.shape) != 2:
        return False
    sizes = tuple(a.shape.numpy())
    if min(sizes) < _SMALLEST or sizes != tuple(b.shape.numpy())[::-1]:
        return False
    return np.array_equal(a.numpy(), b.numpy().T)


def _share(graph: ir.Graph, weights: ir.Value, table: ir.Value) -> None:
    name = str(weights.name)
    node = ir.node("Transpose", [table], attributes={"perm": [1, 0]}, name=f"{name}.turned")
    turned = node.outputs[0]
    substitute(weights, turned)
    del graph.initializers[name]
    turned.name = name
    graph.insert_before(graph[0], node)
