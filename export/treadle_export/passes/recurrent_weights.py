"""What a recurrent ONNX node says of itself: operator, sizes, and each direction's weights."""

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from treadle.errors import ExportError, UnsupportedGraph
from treadle_export.passes.activations import Activation, activations_of
from treadle_export.passes.rewriting import constant_floats

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
"""Gates of each recurrent operator, in ONNX's order: i o f c; z r h; one."""


@dataclass(frozen=True, slots=True)
class Direction:
    """One direction's weights, transposed for a product from the left, gates in ONNX's order."""

    input: NDArray[np.float32]  # [I, G*H]
    recurrent: NDArray[np.float32]  # [H, G*H]
    input_bias: NDArray[np.float32]  # [G*H]
    recurrent_bias: NDArray[np.float32]  # [G*H]
    reverse: bool
    activations: tuple[Activation, ...]  # f g h of an LSTM, f g of a GRU, f of an RNN
    peepholes: NDArray[np.float32] | None = None  # [3*H] of an LSTM: i o f


@dataclass(frozen=True, slots=True)
class Recurrence:
    """One LSTM, GRU or RNN node."""

    operator: str
    name: str  # of its weights, without the last part
    hidden_size: int
    directions: tuple[Direction, ...]
    linear_before_reset: bool


_PEEPHOLES = 7  # the LSTM's input P
_ALTERING = {
    "clip": "no gate is clipped: train without it",
    "input_forget": "input and forget gates are independent: train without the coupling",
    "layout": "time comes first: transpose the node's inputs and outputs",
}
"""Attributes that change the equations or the axes, and what to do about each."""


def _refuse_variants(node: ir.Node) -> None:
    """Raises UnsupportedGraph for what the ONNX operator allows and the equations here lack."""
    for name, remedy in _ALTERING.items():
        attribute = node.attributes.get(name)
        if attribute is not None and attribute.value:
            raise UnsupportedGraph(
                f"expected {node.op_type} node {node.name!r} without {name}, got "
                f"{name}={attribute.value}; {remedy}"
            )


def lowerable(node: ir.Node) -> bool:
    """Whether a recurrent node is of no variant that only the fused operator computes."""
    try:
        _refuse_variants(node)
    except UnsupportedGraph:
        return False
    return True


def recurrence_of(node: ir.Node) -> Recurrence:
    """Reads a recurrent node.

    Raises:
        ExportError: its weights are not initializers.
        UnsupportedGraph: it has `clip`, `input_forget`, another layout, or an unknown activation.
    """
    _refuse_variants(node)
    w, r = (constant_floats(value) for value in node.inputs[1:3])
    if w is None or r is None:
        raise ExportError(
            f"expected weights of {node.op_type} node {node.name!r} to be initializers, got "
            f"computed values; export the model with its parameters stored as they are"
        )
    directions, gates_hidden, _ = w.shape
    given = constant_floats(node.inputs[3]) if len(node.inputs) > 3 else None
    b = np.zeros((directions, 2 * gates_hidden), np.float32) if given is None else given
    p = _peepholes_of(node)
    direction = node.attributes.get_string("direction", "forward")
    activations = activations_of(node)
    weights_name = node.inputs[1].name if node.inputs[1] is not None else None
    return Recurrence(
        operator=node.op_type,
        name=(weights_name or node.name or node.op_type).rpartition(".")[0],
        hidden_size=r.shape[2],
        directions=tuple(
            Direction(
                input=np.ascontiguousarray(w[d].T),
                recurrent=np.ascontiguousarray(r[d].T),
                input_bias=b[d, :gates_hidden],
                recurrent_bias=b[d, gates_hidden:],
                reverse=d == 1 or direction == "reverse",
                activations=activations[d],
                peepholes=None if p is None else p[d],
            )
            for d in range(directions)
        ),
        linear_before_reset=bool(node.attributes.get_int("linear_before_reset", 0)),
    )


def _peepholes_of(node: ir.Node) -> NDArray[np.float32] | None:
    """An LSTM's input P [D, 3*H], None where it has none or none but zeros."""
    given = node.inputs[_PEEPHOLES] if len(node.inputs) > _PEEPHOLES else None
    if node.op_type != "LSTM" or given is None:
        return None
    p = constant_floats(given)
    if p is None:
        raise ExportError(
            f"expected peepholes of {node.op_type} node {node.name!r} to be an initializer, got a "
            f"computed value; export the model with its parameters stored as they are"
        )
    return p if p.any() else None
