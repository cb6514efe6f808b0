"""Multiplies the rows of two computed tensors one at a time.

A decoder attends from one query in a step and from many in a chunk. A matrix kernel sums in
another order for one row than for many, and onnxruntime joins the rows of a lone sequence into one
product, so a chunk would differ from its steps in the last bits. With every query a product of its
own, given as a column and read transposed so that nothing is joined, both take the same path.

Operator: com.microsoft FusedMatMul.
"""

from typing import Any

import onnx_ir as ir

from treadle_export.passes.rewriting import MICROSOFT, Emitter, constant_array, given


class RowByRow(ir.passes.InPlacePass):
    """Writes MatMul of two computed tensors [B, T, K] and [B, K, N] as products of single rows.

    Requires: the rank of the first is known. Ensures: no MatMul of two computed tensors is left.
    """

    def _nodes(self, model: ir.Model) -> list[ir.Node]:
        return [node for node in model.graph if _is_computed(node)]

    def requires(self, model: ir.Model) -> None:
        for node in self._nodes(model):
            shape = given(node, 0).shape
            if shape is None or len(shape) != 3:
                raise ir.passes.PreconditionError(
                    f"expected {node.name!r} to multiply tensors of rank 3, got the shape {shape}"
                )

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        nodes = self._nodes(model)
        for node in nodes:
            _split(node, model.graph)
        model.graph.opset_imports.setdefault(MICROSOFT, 1)
        return ir.passes.PassResult(model, modified=bool(nodes))

    def ensures(self, model: ir.Model) -> None:
        if self._nodes(model):
            raise ir.passes.PostconditionError("a product of two computed tensors is left")


def _is_computed(node: ir.Node) -> bool:
    """Whether `node` multiplies two computed tensors, the second of them a batch of matrices."""
    computed = node.op_type == "MatMul" and all(constant_array(v) is None for v in node.inputs)
    shape = node.inputs[1].shape if computed and node.inputs[1] is not None else None
    return computed and (shape is None or len(shape) == 3)


def _split(node: ir.Node, graph: ir.Graph) -> None:
    e, x, y = Emitter(graph), given(node, 0), given(node, 1)
    matrices, transposed = _untransposed(y)
    shape = x.shape
    one_row = shape is not None and shape[1] == 1
    attributes: dict[str, Any] = {"domain": MICROSOFT, "transA": 1, "transB": int(transposed)}
    if one_row:
        column = e.op("Reshape", x, e.axes(0, -1, 1))
        e.replace(node, e.op("FusedMatMul", column, matrices, **attributes))
        return
    columns = e.op("Unsqueeze", x, e.axes(3))
    product = e.op("FusedMatMul", columns, e.op("Unsqueeze", matrices, e.axes(1)), **attributes)
    e.replace(node, e.op("Squeeze", product, e.axes(2)))


def _untransposed(y: ir.Value) -> tuple[ir.Value, bool]:
    """The matrices before a Transpose of their two axes, and whether there was one."""
    node = y.producer()
    if node is None or node.op_type != "Transpose":
        return y, False
    if tuple(node.attributes["perm"].as_ints()) != (0, 2, 1):
        return y, False
    return given(node, 0), True
