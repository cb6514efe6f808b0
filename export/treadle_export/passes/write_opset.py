"""Writes a graph in an older opset, where its operators mean the same there.

Between opsets 18 and 21 ONNX gave many operators more types and some of them attributes, and left
what they compute. So a graph that uses none of the new is one of the older opset already, but for
attributes that say their default. (ONNX's own converter goes back through few of these operators.)
"""

import onnx
import onnx_ir as ir

from treadle.errors import UnsupportedGraph

_MEANING_CHANGED = frozenset({"GroupNormalization"})  # opset 21: scale and bias a channel


class WriteOpset(ir.passes.InPlacePass):
    """Declares the older opset.

    Ensures: every operator of ONNX is one of that opset, with no input or attribute of a later one.
    Raises UnsupportedGraph naming the operator for which that cannot be.
    """

    def __init__(self, opset: int) -> None:
        super().__init__()
        self.opset = opset

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        opset = model.graph.opset_imports[""]
        if opset <= self.opset:
            return ir.passes.PassResult(model, modified=False)
        for node in ir.traversal.RecursiveGraphIterator(model.graph):
            if node.domain == "":
                self._check(node, opset)
        for graph in model.graphs():
            if "" in graph.opset_imports:
                graph.opset_imports[""] = self.opset
        return ir.passes.PassResult(model, modified=True)

    def _check(self, node: ir.Node, opset: int) -> None:
        try:
            older = onnx.defs.get_schema(node.op_type, self.opset)
        except onnx.defs.SchemaError:
            raise self._unsupported(node, "the operator is newer") from None
        if node.op_type in _MEANING_CHANGED:
            raise self._unsupported(node, "the operator meant something else there")
        if len(node.inputs) > older.max_input:
            raise self._unsupported(node, f"it has {len(node.inputs)} inputs")
        newer = onnx.defs.get_schema(node.op_type, opset)
        for name in [name for name in node.attributes if name not in older.attributes]:
            default = newer.attributes[name].default_value
            if onnx.helper.get_attribute_value(default) != node.attributes[name].value:
                raise self._unsupported(node, f"its attribute {name!r} is newer")
            del node.attributes[name]

    def _unsupported(self, node: ir.Node, reason: str) -> UnsupportedGraph:
        return UnsupportedGraph(
            f"expected operators of opset {self.opset}, got {node.op_type} (node {node.name!r}): "
            f"{reason}; write the model without it, or choose another --target"
        )
