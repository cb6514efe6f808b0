"""Moves axes of one by naming their place, where a Transpose was to carry them.

A step is a sequence of one: what was written for a time axis leaves transposes of axes of size one
behind. An Unsqueeze that names another place does the same, and meets its Squeeze.
"""

import onnx_ir as ir

from treadle_export.passes.rewriting import Emitter, constant_array, given


class MoveSingleAxes(ir.passes.InPlacePass):
    """Rewrites Transpose(Unsqueeze), Squeeze(Transpose) and Squeeze(Unsqueeze) of single axes.

    Ensures: none is left in the main graph that only carries one added or removed axis.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        modified = False
        while (found := _next(model.graph)) is not None:
            node, op, x, axes = found
            e = Emitter(model.graph)
            e.replace(node, e.op(op, x, e.axes(*axes)))
            modified = True
        if modified:
            ir.passes.common.RemoveUnusedNodesPass()(model)
        return ir.passes.PassResult(model, modified)

    def ensures(self, model: ir.Model) -> None:
        if _next(model.graph) is not None:
            raise ir.passes.PostconditionError("a transposed single axis is left")


Found = tuple[ir.Node, str, ir.Value, list[int]]


def _next(graph: ir.Graph) -> Found | None:
    """The first node to rewrite: with which operator, of which value, over which axes."""
    for node in graph:
        before = node.inputs[0].producer() if node.inputs and node.inputs[0] is not None else None
        if before is None:
            continue
        kinds = (before.op_type, node.op_type)
        if kinds == ("Unsqueeze", "Transpose"):
            axes = _transposed_axis(_axes(before), _perm(node))
            if axes is not None:
                return node, "Unsqueeze", given(before, 0), axes
        elif kinds == ("Transpose", "Squeeze"):
            removed, perm = _axes(node), _perm(before)
            if removed is not None and perm is not None and len(removed) == 1:
                rest = [axis for place, axis in enumerate(perm) if place != removed[0]]
                if rest == sorted(rest):
                    return node, "Squeeze", given(before, 0), [perm[removed[0]]]
        elif kinds == ("Unsqueeze", "Squeeze"):
            axes = _fewer_axes(_axes(before), _axes(node))
            if axes:
                return node, "Unsqueeze", given(before, 0), axes
    return None


def _axes(node: ir.Node) -> list[int] | None:
    """The axes of Squeeze or Unsqueeze, sorted; None where they are not constant, or negative."""
    array = constant_array(node.inputs[1]) if len(node.inputs) > 1 else None
    axes = None if array is None else sorted(int(axis) for axis in array.reshape(-1))
    return axes if axes and axes[0] >= 0 else None


def _perm(node: ir.Node) -> list[int] | None:
    return list(node.attributes.get_ints("perm", ())) or None


def _transposed_axis(added: list[int] | None, perm: list[int] | None) -> list[int] | None:
    """Where an added axis ends up, if nothing else changes its order."""
    if added is None or perm is None or len(added) != 1:
        return None
    rest = [axis for axis in perm if axis != added[0]]
    return [perm.index(added[0])] if rest == sorted(rest) else None


def _fewer_axes(added: list[int] | None, removed: list[int] | None) -> list[int] | None:
    """What is left of added axes when some of them are removed; none where all or others are."""
    if added is None or removed is None or not set(removed) < set(added):
        return None
    kept = [axis for axis in added if axis not in removed]
    return [axis - sum(other < axis for other in removed) for axis in kept]
