"""Multiplies the rows of two computed tensors one at a time.

A decoder attends from one query in a step and from many in a chunk. A matrix kernel sums in
another order for one row than for many, so a chunk would differ from its steps in the last bits;
with every query a product of its own, both take the same path.
"""

import onnx_ir as ir

from treadle_export.passes.rewriting import Emitter, constant_array, given


class RowByRow(ir.passes.InPlacePass):
    """Writes MatMul of [B, T, K] by [B, K, N] as one of [B, T, 1, K] by [B, 1, K, N].

    Requires: ranks are known. Ensures: no product of two computed tensors of rank 3 is left.
    """

    def requires(self, model: ir.Model) -> None:
        for node in model.graph:
            x = node.inputs[0] if _is_computed(node) else None
            if x is not None and x.shape is None:
                raise ir.passes.PreconditionError(f"the shapes of {node.name!r} are not known")

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        products = [node for node in model.graph if _is_batched(node)]
        for node in products:
            e = Emitter(model.graph)
            x, y = given(node, 0), given(node, 1)
            rows = e.op("Unsqueeze", x, e.axes(2))
            rows.shape, rows.type = ir.Shape([None, None, 1, None]), x.type
            product = e.op("MatMul", rows, e.op("Unsqueeze", y, e.axes(1)))
            e.replace(node, e.op("Squeeze", product, e.axes(2)))
        return ir.passes.PassResult(model, modified=bool(products))

    def ensures(self, model: ir.Model) -> None:
        if any(_is_batched(node) for node in model.graph):
            raise ir.passes.PostconditionError("a batched product is left")


def _is_computed(node: ir.Node) -> bool:
    return node.op_type == "MatMul" and all(constant_array(v) is None for v in node.inputs)


def _is_batched(node: ir.Node) -> bool:
    """Whether `node` multiplies two computed tensors, many rows of the first at once."""
    shape = node.inputs[0].shape if _is_computed(node) and node.inputs[0] is not None else None
    return shape is not None and len(shape) == 3 and shape[1] != 1
