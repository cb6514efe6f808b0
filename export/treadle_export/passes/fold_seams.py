"""Removes the seams between captured and lowered parts: axes added and taken away again."""

import onnx_ir as ir

from treadle_export.passes.rewriting import constant_array, substitute

_INVERSE = {"Squeeze": "Unsqueeze", "Unsqueeze": "Squeeze"}


class FoldSeams(ir.passes.InPlacePass):
    """Replaces Squeeze(Unsqueeze(x)), Unsqueeze(Squeeze(x)) and Transpose(Transpose(x)) by x.

    Ensures: no such pair over the same axes is left in the main graph, also before its outputs.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        modified = False
        for node in model.graph:
            inner = _cancelled(node)
            if inner is not None:
                substitute(node.outputs[0], inner)
                modified = True
        if modified:
            ir.passes.common.RemoveUnusedNodesPass()(model)
        return ir.passes.PassResult(model, modified)

    def ensures(self, model: ir.Model) -> None:
        for node in model.graph:
            if _cancelled(node) is not None:
                raise ir.passes.PostconditionError(f"{node.op_type} {node.name!r} is a seam")


def _cancelled(node: ir.Node) -> ir.Value | None:
    """The value that `node` gives back unchanged, if the node before it is its inverse.

    An output of the graph has to be a value of its own: what comes in, or goes out by another name
    already, cannot be it.
    """
    inner = _undone(node)
    taken = inner is None or inner.producer() is None or inner.is_graph_output()
    return None if node.outputs[0].is_graph_output() and taken else inner


def _undone(node: ir.Node) -> ir.Value | None:
    before = node.inputs[0].producer() if node.inputs and node.inputs[0] is not None else None
    if before is None:
        return None
    if before.op_type == _INVERSE.get(node.op_type):
        mine, theirs = (constant_array(n.inputs[1]) for n in (node, before))
        same = mine is not None and theirs is not None and mine.tolist() == theirs.tolist()
        return before.inputs[0] if same else None
    if node.op_type == before.op_type == "Transpose":
        first, second = (n.attributes["perm"].as_ints() for n in (before, node))
        return before.inputs[0] if [first[axis] for axis in second] == sorted(first) else None
    return None
