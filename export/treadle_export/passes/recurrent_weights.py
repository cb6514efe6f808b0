"""What a recurrent ONNX node says of itself: operator, sizes, and each direction's weights."""

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from treadle.errors import ExportError
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


@dataclass(frozen=True, slots=True)
class Recurrence:
    """One LSTM, GRU or RNN node."""

    operator: str
    name: str  # of its weights, without the last part
    hidden_size: int
    directions: tuple[Direction, ...]
    linear_before_reset: bool
    activation: str  # of an RNN node

    @property
    def bounded(self) -> bool:
        """Whether the hidden state stays within [-1, 1]."""
        return self.operator != "RNN" or self.activation == "Tanh"


def recurrence_of(node: ir.Node) -> Recurrence:
    """Reads a recurrent node.

    Raises:
        ExportError: its weights are not initializers.
    """
    w, r = (constant_floats(value) for value in node.inputs[1:3])
    if w is None or r is None:
        raise ExportError(
            f"expected weights of {node.op_type} node {node.name!r} to be initializers, got "
            f"computed values; export the model with its parameters stored as they are"
        )
    directions, gates_hidden, _ = w.shape
    given = constant_floats(node.inputs[3]) if len(node.inputs) > 3 else None
    b = np.zeros((directions, 2 * gates_hidden), np.float32) if given is None else given
    direction = node.attributes.get_string("direction", "forward")
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
            )
            for d in range(directions)
        ),
        linear_before_reset=bool(node.attributes.get_int("linear_before_reset", 0)),
        activation=(node.attributes.get_strings("activations", None) or ("Tanh",))[0],
    )
