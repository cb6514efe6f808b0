"""Graphs of one recurrent node with any activations, and what their lowerings compute."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from treadle_export.canonical import BOUND, IR_VERSION, OPSET
from treadle_export.engine import Arrays, Engine
from treadle_export.passes.lower_recurrent import Form, LowerRecurrent
from treadle_export.passes.recurrent_weights import GATES

if TYPE_CHECKING:
    from collections.abc import Sequence

PARAMETERS = {
    "Affine": 2,
    "Elu": 1,
    "HardSigmoid": 2,
    "LeakyRelu": 1,
    "Relu": 0,
    "ScaledTanh": 2,
    "Sigmoid": 0,
    "Softplus": 0,
    "Softsign": 0,
    "Tanh": 0,
    "ThresholdedRelu": 1,
}
"""How many of alpha and beta each activation of ONNX's list takes."""


@dataclass(frozen=True)
class Case:
    """One node: operator, activations of all directions, sizes; everything else from the seed."""

    operator: str
    activations: Sequence[str]
    inputs: int = 3
    hidden: int = 5
    direction: str = "forward"
    linear_before_reset: int = 0
    with_lengths: bool = False
    scale: float = 0.4  # of the weights: small, so that what grows without bound stays comparable
    seed: int = 0

    @property
    def directions(self) -> int:
        return 2 if self.direction == "bidirectional" else 1

    def attributes(self) -> dict[str, Any]:
        random = np.random.default_rng(self.seed)
        alphas = [float(random.uniform(0.1, 0.9)) for a in self.activations if PARAMETERS[a] > 0]
        betas = [float(random.uniform(0.1, 0.9)) for a in self.activations if PARAMETERS[a] > 1]
        attributes: dict[str, Any] = {
            "hidden_size": self.hidden,
            "direction": self.direction,
            "activations": list(self.activations),
        }
        if self.operator == "GRU":
            attributes["linear_before_reset"] = self.linear_before_reset
        if alphas:
            attributes["activation_alpha"] = alphas
        if betas:
            attributes["activation_beta"] = betas
        return attributes

    def state_names(self) -> tuple[str, ...]:
        return ("hidden", "cell") if self.operator == "LSTM" else ("hidden",)

    def feeds(self, batch: int, time: int) -> Arrays:
        random = np.random.default_rng(self.seed + 1)
        feeds: Arrays = {"x": random.normal(size=(time, batch, self.inputs)).astype(np.float32)}
        shape = (self.directions, batch, self.hidden)
        for name in self.state_names():
            feeds[name] = random.uniform(-1, 1, shape).astype(np.float32)
        if self.with_lengths:
            feeds["lengths"] = random.integers(1, time + 1, batch).astype(np.int32)
        return feeds

    def model(self, *, initial_bound: float | None = None, **changes: Any) -> ir.Model:
        """The node with its states as inputs; `changes` are further attributes."""
        random = np.random.default_rng(self.seed + 2)
        gates = GATES[self.operator] * self.hidden
        shapes = {
            "layer.w": (self.directions, gates, self.inputs),
            "layer.r": (self.directions, gates, self.hidden),
            "layer.b": (self.directions, 2 * gates),
        }
        weights = [
            weight(name, random.normal(0, self.scale, shape)) for name, shape in shapes.items()
        ]
        x = port("x", ("time", "batch", self.inputs))
        states = [port(n, (self.directions, "batch", self.hidden)) for n in self.state_names()]
        states[0].meta[BOUND] = initial_bound
        lengths = port("lengths", ("batch",), ir.DataType.INT32) if self.with_lengths else None
        node = ir.node(
            self.operator,
            [x, *weights, lengths, *states],
            {**self.attributes(), **changes},
            num_outputs=1 + len(states),
        )
        for value, name in zip(node.outputs, ("y", "y_hidden", "y_cell"), strict=False):
            value.name, value.type = name, ir.TensorType(ir.DataType.FLOAT)
        graph = ir.Graph(
            [x, *([lengths] if lengths is not None else []), *states],
            node.outputs,
            nodes=[node],
            initializers=weights,
            opset_imports={"": OPSET},
            name="one layer",
        )
        return ir.Model(graph, ir_version=IR_VERSION)

    def lowered(self, form: Form, *, initial_bound: float | None = None) -> ir.Model:
        model = self.model(initial_bound=initial_bound)
        return ir.passes.Sequential(LowerRecurrent(form), ir.passes.common.NameFixPass())(
            model
        ).model

    def fused(self, feeds: Arrays) -> Arrays:
        return Engine(self.model()).run(feeds)


def port(name: str, shape: Sequence[int | str], dtype: ir.DataType = ir.DataType.FLOAT) -> ir.Value:
    return ir.Value(name=name, shape=ir.Shape(shape), type=ir.TensorType(dtype))


def weight(name: str, array: Any) -> ir.Value:
    tensor = ir.Tensor(np.asarray(array, np.float32), name=name)
    return ir.Value(
        name=name, shape=tensor.shape, type=ir.TensorType(tensor.dtype), const_value=tensor
    )
