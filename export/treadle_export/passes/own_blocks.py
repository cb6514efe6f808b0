"""Gives products inside a loop their weights in blocks as initializers of the loop's own body.

On Arm onnxruntime packs 4-bit weights together with their scales when a session opens, and up to
1.28 it looks for the scales in the product's own graph only: found outside, weights without scales
end the process (microsoft/onnxruntime#31137).
"""

import onnx_ir as ir

from treadle_export.passes.rewriting import constant_array, given

_WEIGHTS = (1, 2)  # inputs of MatMulNBits: levels and scales


class OwnBlocks(ir.passes.InPlacePass):
    """Moves levels and scales of each MatMulNBits into the graph that the node stands in.

    Ensures: no MatMulNBits reads levels or scales of another graph.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        strangers = _strangers(model)
        for node, index in strangers:
            _move(model.graph, node, index)
        return ir.passes.PassResult(model, modified=bool(strangers))

    def ensures(self, model: ir.Model) -> None:
        if _strangers(model):
            raise ir.passes.PostconditionError("a product reads its weights from another graph")


def _strangers(model: ir.Model) -> list[tuple[ir.Node, int]]:
    return [
        (node, index)
        for node in ir.traversal.RecursiveGraphIterator(model.graph)
        if node.op_type == "MatMulNBits" and node.graph is not model.graph
        for index in _WEIGHTS
        if given(node, index).name in model.graph.initializers
    ]


def _move(root: ir.Graph, node: ir.Node, index: int) -> None:
    outer, body = given(node, index), node.graph
    if not isinstance(body, ir.Graph):
        raise ValueError(f"{node.name!r} stands in no graph")
    name = f"{body.name}.{outer.name}"
    if name not in body.initializers:
        array = constant_array(outer)
        if array is None:
            raise ValueError(f"{outer.name!r} is no constant")
        tensor = ir.Tensor(array, name=name)
        inner = ir.Value(name=name, shape=outer.shape, type=outer.type, const_value=tensor)
        body.register_initializer(inner)
    node.replace_input_with(index, body.initializers[name])
    if not outer.uses():
        del root.initializers[str(outer.name)]
