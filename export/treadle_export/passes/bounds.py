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
    | {"Gather", "ReverseSequence", "Expand", "Flatten"}
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
