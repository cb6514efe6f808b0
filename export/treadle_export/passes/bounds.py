"""How large a value can grow, read off the operators that make it.

A hidden state, a gate or an attentional vector never leaves [-1, 1]: a fixed scale serves it, and
no maximum has to be searched at every step.
"""

import math

import numpy as np
import onnx_ir as ir

from treadle_export.canonical import BOUND
from treadle_export.passes.activations import USUAL, activations_of, hidden_bound
from treadle_export.passes.rewriting import constant_array

_WITHIN_ONE = frozenset({"Tanh", "Sigmoid", "HardSigmoid", "Softsign", "Softmax"})
_SAME_AS_FIRST = frozenset(
    {"Squeeze", "Unsqueeze", "Reshape", "Transpose", "Identity", "Slice", "Split"}
    | {"Gather", "GatherND", "ReverseSequence", "Expand", "Flatten"}
)


def bound_of(value: ir.Value | None) -> float | None:
    """The largest magnitude that `value` can have, None where the graph does not say."""
    if value is None:
        return None
    if BOUND in value.meta:
        mark = value.meta[BOUND]
        return None if mark is None else float(mark)
    array = constant_array(value)
    if array is not None:
        return float(np.abs(array).max(initial=0.0)) if array.dtype.kind == "f" else None
    node = value.producer()
    bound = None if node is None else _bound_from(node, value)
    value.meta[BOUND] = bound
    return bound


def _bound_from(node: ir.Node, value: ir.Value) -> float | None:
    if node.op_type in _WITHIN_ONE:
        return 1.0
    if node.op_type in _SAME_AS_FIRST:
        return bound_of(node.inputs[0])
    if node.op_type == "ConstantOfShape":
        filling = node.attributes.get_tensor("value", None)
        return 0.0 if filling is None else float(np.abs(filling.numpy()).max())
    if node.op_type in USUAL:
        return _hidden_bound(node) if value in node.outputs[:2] else None
    if node.op_type in ("Mul", "Concat", "Where"):
        given = node.inputs[1:] if node.op_type == "Where" else node.inputs
        bounds = [bound for bound in map(bound_of, given) if bound is not None]
        if len(bounds) < len(given):
            return None
        return math.prod(bounds) if node.op_type == "Mul" else max(bounds)
    return None


def _hidden_bound(node: ir.Node) -> float | None:
    """The bound of what a recurrent node says of its hidden state: Y and Y_h."""
    given = node.inputs[5] if len(node.inputs) > 5 else None
    initial = 0.0 if given is None else bound_of(given)
    bounds = [
        hidden_bound(node.op_type, activations, initial) for activations in activations_of(node)
    ]
    known = [bound for bound in bounds if bound is not None]
    return max(known) if len(known) == len(bounds) else None


def mark_scan_bounds(graph: ir.Graph) -> None:
    """Marks what a Scan carries and gives, where it stays within bounds step after step.

    A state that begins within [-1, 1] and whose next value is bounded by 1 never leaves it. The
    lowering knows this and marks it; a graph that was written to a file has lost the mark.
    """
    for node in graph:
        if node.op_type != "Scan":
            continue
        body = node.attributes["body"].as_graph()
        carried = len(node.inputs) - node.attributes["num_scan_inputs"].as_int()
        for start, inner, following in zip(
            node.inputs[:carried], body.inputs, body.outputs, strict=False
        ):
            start_bound = bound_of(start)
            if start_bound is None or start_bound > 1:
                continue
            inner.meta[BOUND] = 1.0
            reached = bound_of(following)
            if reached is None or reached > 1:
                _forget(body)
        for outer, output in zip(node.outputs[carried:], body.outputs[carried:], strict=True):
            outer.meta[BOUND] = bound_of(output)


def _forget(body: ir.Graph) -> None:
    """Takes back what was concluded from a bound that does not hold."""
    for value in body.inputs:
        value.meta.pop(BOUND, None)
    for node in body:
        for value in node.outputs:
            value.meta.pop(BOUND, None)
