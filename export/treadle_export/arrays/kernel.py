"""A recurrent layer's arrays as the ONNX operators want them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from treadle.errors import InputError
from treadle_export.arrays.activations import onnx_activation
from treadle_export.arrays.gates import GATE_ORDERS, gates_of
from treadle_export.arrays.layers import BidirectionalArrays, RecurrentArrays
from treadle_export.passes.activations import Activation

_OPERATORS = {"lstm": "LSTM", "gru": "GRU", "rnn": "RNN"}


@dataclass(frozen=True, slots=True)
class Kernel:
    """One node's operator, weights and attributes; D directions."""

    operator: str
    w: NDArray[np.float32]  # [D, G*H, I]
    r: NDArray[np.float32]  # [D, G*H, H]
    b: NDArray[np.float32]  # [D, 2*G*H]
    direction: str
    linear_before_reset: bool
    activations: tuple[Activation, ...]  # of all directions

    @property
    def hidden_size(self) -> int:
        """H."""
        return int(self.r.shape[2])

    def attributes(self) -> dict[str, Any]:
        """The node's attributes; those that are the operator's defaults are written too."""
        found: dict[str, Any] = {
            "hidden_size": self.hidden_size,
            "direction": self.direction,
            "activations": [activation.name for activation in self.activations],
        }
        if self.operator == "GRU":
            found["linear_before_reset"] = int(self.linear_before_reset)
        for position, name in enumerate(("activation_alpha", "activation_beta")):
            taken = [
                a.parameters[position] for a in self.activations if len(a.parameters) > position
            ]
            if taken:
                found[name] = taken
        return found


def kernel_of(layer: RecurrentArrays, inputs: int, where: str) -> Kernel:
    """One direction as a node.

    Args:
        layer: its arrays.
        inputs: the width of what it reads.
        where: its name, for messages.

    Raises:
        InputError: an array or a name does not fit.
    """
    gates = gates_of(layer, inputs, where)
    order = GATE_ORDERS["onnx"][layer.cell]
    w = np.concatenate([gates[letter].input for letter in order], axis=1).T
    r = np.concatenate([gates[letter].recurrent for letter in order], axis=1).T
    biases = [gates[letter].input_bias for letter in order]
    biases += [gates[letter].recurrent_bias for letter in order]
    squash = onnx_activation(layer.activation, where)
    gate = onnx_activation(layer.recurrent_activation, where)
    return Kernel(
        operator=_OPERATORS[layer.cell],
        w=np.ascontiguousarray(w[None], np.float32),
        r=np.ascontiguousarray(r[None], np.float32),
        b=np.concatenate(biases)[None].astype(np.float32),
        direction="reverse" if layer.go_backwards else "forward",
        linear_before_reset=layer.reset == "after",
        activations={"lstm": (gate, squash, squash), "gru": (gate, squash), "rnn": (squash,)}[
            layer.cell
        ],
    )


def kernel_of_both(layer: BidirectionalArrays, inputs: int, where: str) -> Kernel:
    """Both directions as one node.

    Raises:
        InputError: an array does not fit, or the two differ in cell, size, reset or `sequences`.
    """
    one, two = (
        kernel_of(part, inputs, f"{where}.{side}")
        for part, side in ((layer.forward, "forward"), (layer.backward, "backward"))
    )
    for what, first, second in (
        ("cell", one.operator, two.operator),
        ("hidden size", one.hidden_size, two.hidden_size),
        ("reset", one.linear_before_reset, two.linear_before_reset),
        ("sequences", layer.forward.sequences, layer.backward.sequences),
    ):
        if first != second:
            raise InputError(
                f"expected both directions of layer {where!r} to have the same {what}, got "
                f"{first} and {second}; make them alike"
            )
    return Kernel(
        operator=one.operator,
        w=np.concatenate([one.w, two.w]),
        r=np.concatenate([one.r, two.r]),
        b=np.concatenate([one.b, two.b]),
        direction="bidirectional",
        linear_before_reset=one.linear_before_reset,
        activations=one.activations + two.activations,
    )
