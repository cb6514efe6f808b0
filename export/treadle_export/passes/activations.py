"""The activations that a recurrent ONNX node names, and each of them in primitive operators.

Sources: attributes `activations`, `activation_alpha` and `activation_beta` of the ONNX operators
LSTM, GRU and RNN; the equations stand in their specification.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

from treadle.errors import UnsupportedGraph
from treadle_export.passes.rewriting import Emitter

USUAL = {"LSTM": ("Sigmoid", "Tanh", "Tanh"), "GRU": ("Sigmoid", "Tanh"), "RNN": ("Tanh",)}
"""What each recurrent operator uses where its node names none: f g h; f g; f."""

_PARAMETERS = {
    "Affine": (None, None),
    "Elu": (1.0,),
    "HardSigmoid": (0.2, 0.5),
    "LeakyRelu": (0.01,),
    "Relu": (),
    "ScaledTanh": (None, None),
    "Sigmoid": (),
    "Softplus": (),
    "Softsign": (),
    "Tanh": (),
    "ThresholdedRelu": (None,),
}
"""Defaults of alpha and beta. None: onnxruntime takes 0, and ONNX says 1 or nothing at all."""

_BY_LOWER_CASE = {name.lower(): name for name in _PARAMETERS}  # names are read in any case


@dataclass(frozen=True, slots=True)
class Activation:
    """One activation: its name in ONNX's list, alpha and beta where it takes them."""

    name: str
    parameters: tuple[float, ...] = ()

    @property
    def largest(self) -> float | None:
        """The magnitude that no result exceeds, None where it grows with what comes in."""
        if self.name == "ScaledTanh":
            return abs(self.parameters[0])
        return 1.0 if self.is_gate or self.name in ("Tanh", "Softsign") else None

    @property
    def is_gate(self) -> bool:
        """Whether every result lies in [0, 1]."""
        return self.name in ("Sigmoid", "HardSigmoid")


def activations_of(node: ir.Node) -> tuple[tuple[Activation, ...], ...]:
    """The activations of each direction of a recurrent node, in ONNX's order.

    `activation_alpha` and `activation_beta` are lists over all directions; each value belongs to
    the next activation that takes one.

    Raises:
        UnsupportedGraph: one is unknown or lacks a parameter, or their number is wrong.
    """
    directions = 2 if node.attributes.get_string("direction", "forward") == "bidirectional" else 1
    usual = USUAL[node.op_type]
    names = node.attributes.get_strings("activations", None) or usual * directions
    if len(names) != len(usual) * directions:
        raise UnsupportedGraph(
            f"expected {len(usual) * directions} activations at {node.op_type} node "
            f"{node.name!r}, got {len(names)} ({', '.join(names)}); name one for each gate "
            f"function of each direction"
        )
    alphas = iter(node.attributes.get_floats("activation_alpha", ()))
    betas = iter(node.attributes.get_floats("activation_beta", ()))
    read = [_read(node, name, alphas, betas) for name in names]
    return tuple(
        tuple(read[start : start + len(usual)]) for start in range(0, len(read), len(usual))
    )


def _read(
    node: ir.Node, written: str, alphas: Iterator[float], betas: Iterator[float]
) -> Activation:
    name = _BY_LOWER_CASE.get(written.lower())
    if name is None:
        raise UnsupportedGraph(
            f"expected an activation of {', '.join(_PARAMETERS)} at {node.op_type} node "
            f"{node.name!r}, got {written!r}; train the layer with one of these"
        )
    parameters: list[float] = []
    pairs = zip(_PARAMETERS[name], ("alpha", "beta"), (alphas, betas), strict=False)
    for default, parameter, values in pairs:
        value = next(values, default)
        if value is None:
            raise UnsupportedGraph(
                f"expected activation_{parameter} for {name} at {node.op_type} node "
                f"{node.name!r}, got none; onnxruntime would take 0: write it into the node"
            )
        parameters.append(float(value))
    return Activation(name, tuple(parameters))


def hidden_bound(
    operator: str, activations: tuple[Activation, ...], initial: float | None
) -> float | None:
    """The magnitude that a hidden state never exceeds, None where there is no such number.

    RNN: h' = f(…). LSTM: h' = f(…) * h(c'). GRU: h' = (1 - z) * n + z * h, which lies between the
    candidate and the hidden state where z is in [0, 1], so that it depends on the initial one.

    Args:
        operator: LSTM, GRU or RNN.
        activations: of one direction.
        initial: the magnitude that the initial hidden state does not exceed, None if unknown.
    """
    gate, last = activations[0].largest, activations[-1].largest
    if operator == "RNN":
        return last
    if operator == "LSTM":
        return None if gate is None or last is None else gate * last
    if last is None or initial is None or not activations[0].is_gate:
        return None
    return max(last, initial)


def apply(e: Emitter, activation: Activation, x: ir.Value) -> ir.Value:
    """The activation of `x` [batch, width], whose shape is declared, in primitive operators."""
    name, parameters = activation.name, activation.parameters
    if name == "Affine":
        return _plus(e, _times(e, x, parameters[0]), parameters[1])
    if name == "ScaledTanh":
        return _times(e, e.op("Tanh", _times(e, x, parameters[1])), parameters[0])
    attributes: dict[str, Any] = dict(zip(("alpha", "beta"), parameters, strict=False))
    return e.op(name, x, **attributes)


def _times(e: Emitter, x: ir.Value, factor: float) -> ir.Value:
    if factor == 1:
        return x
    product = e.op("Mul", x, e.constant(np.float32(factor)))
    product.shape, product.type = x.shape, x.type
    return product


def _plus(e: Emitter, x: ir.Value, term: float) -> ir.Value:
    return x if term == 0 else e.op("Add", x, e.constant(np.float32(term)))
