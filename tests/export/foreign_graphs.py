"""Graphs as other people's exporters write them, made by hand: every way to look back in time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir
from onnx import TensorProto, helper, numpy_helper

from treadle_export.engine import Engine
from treadle_export.foreign import Foreign

if TYPE_CHECKING:
    from collections.abc import Sequence

    import onnx
    from numpy.typing import NDArray

FEATURES, HIDDEN, OUTPUTS = 6, 10, 5
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


class Builder:
    """Collects nodes and weights; every weight from one seed."""

    def __init__(self) -> None:
        self.random = np.random.default_rng(3)
        self.nodes: list[Any] = []
        self.weights: dict[str, NDArray[Any]] = {}

    def weight(self, name: str, *shape: int) -> str:
        scale = 0.6 / np.sqrt(shape[-1])
        self.weights[name] = (self.random.normal(size=shape) * 2 * scale).astype(np.float32)
        return name

    def constant(self, name: str, value: Any) -> str:
        self.weights[name] = np.asarray(value)
        return name

    def op(self, kind: str, *inputs: str, to: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, list(inputs), [to], **attributes))
        return to

    def layer(self, kind: str, x: str, name: str, size: int, **attributes: Any) -> str:
        """A recurrent layer over `x` [T, B, size] -> [T, B, HIDDEN]."""
        rows = GATES[kind] * HIDDEN
        weights = [
            self.weight(f"{name}.w", 1, rows, size),
            self.weight(f"{name}.r", 1, rows, HIDDEN),
            self.weight(f"{name}.b", 1, 2 * rows),
        ]
        outputs = [f"{name}.y", f"{name}.h"]
        self.nodes.append(
            helper.make_node(kind, [x, *weights], outputs, hidden_size=HIDDEN, **attributes)
        )
        return self.op("Squeeze", f"{name}.y", self.constant("one", [1]), to=f"{name}.s")

    def model(
        self,
        inputs: Sequence[tuple[str, int, Sequence[Any]]],
        outputs: Sequence[tuple[str, Sequence[Any] | None]],
        opset: int = 21,
    ) -> onnx.ModelProto:
        graph = helper.make_graph(
            self.nodes,
            "foreign",
            [helper.make_tensor_value_info(*spec) for spec in inputs],
            [helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n, shape in outputs],
            [numpy_helper.from_array(array, name) for name, array in self.weights.items()],
        )
        opsets = [helper.make_opsetid("", opset)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def before_the_layer(b: Builder, kind: str) -> tuple[str, int]:
    """`x` [B, T, F] to what a layer reads, [T, B, …], in one of the ways to look back."""
    size = FEATURES
    if kind in ("conv", "padded-conv", "chomped-conv", "strided-conv", "pair-conv", "pool"):
        x = b.op("Transpose", "x", to="channels", perm=[0, 2, 1])
        weights = b.weight("conv.w", FEATURES, FEATURES, 3)
        if kind == "conv":
            x = b.op("Conv", x, weights, to="c", pads=[4, 0], dilations=[2])
        elif kind == "padded-conv":
            x = b.op("Pad", x, b.constant("pads", [0, 0, 2, 0, 0, 0]), to="padded")
            x = b.op("Conv", x, weights, to="c")
        elif kind == "chomped-conv":
            x = b.op("Conv", x, weights, to="wide", pads=[2, 2])
            ends = [b.constant("from", [0]), b.constant("until", [-2]), b.constant("axis", [2])]
            x = b.op("Slice", x, *ends, to="c")
        elif kind == "pair-conv":
            x = b.op("Conv", x, b.weight("pair.w", FEATURES, FEATURES, 2), to="c", strides=[2])
        elif kind == "strided-conv":
            x = b.op("Conv", x, weights, to="c", pads=[1, 0], strides=[2])
        else:
            x = b.op("AveragePool", x, to="c", kernel_shape=[3], pads=[2, 0], count_include_pad=1)
        return b.op("Transpose", x, to="xt", perm=[2, 0, 1]), size
    x = "x"
    if kind == "running-mean":
        total = b.op("CumSum", x, b.constant("time", np.int64(1)), to="total")
        shape = b.op("Shape", x, to="shape")
        length = b.op("Gather", shape, b.constant("place", np.int64(1)), to="length")
        zero, step = b.constant("zero", np.int64(0)), b.constant("step", np.int64(1))
        steps = b.op("Range", zero, length, step, to="steps")
        count = b.op("Add", steps, step, to="count")
        b.nodes.append(helper.make_node("Cast", [count], ["floats"], to=TensorProto.FLOAT))
        column = b.op("Unsqueeze", "floats", b.constant("ends", [0, 2]), to="column")
        mean = b.op("Div", total, column, to="mean")
        x = b.op("Sub", x, mean, to="normalized")
    elif kind == "stacked-frames":
        flat = b.constant("flat", [0, -1, 2 * FEATURES])
        x, size = b.op("Reshape", x, flat, to="pairs"), 2 * FEATURES
    elif kind == "zeros-before":
        shape = b.op("Shape", x, to="shape")
        rows = b.op("Slice", shape, b.constant("a", [0]), b.constant("z", [1]), to="batch")
        front = b.op("Concat", rows, b.constant("rest", [1, FEATURES]), to="front", axis=0)
        zeros = b.op("ConstantOfShape", front, to="zeros")
        late = b.op("Concat", zeros, x, to="late", axis=1)
        ends = [b.constant("from", [0]), b.constant("until", [-1]), b.constant("axis", [1])]
        x = b.op("Concat", x, b.op("Slice", late, *ends, to="before"), to="both", axis=2)
        size = 2 * FEATURES
    return b.op("Transpose", x, to="xt", perm=[1, 0, 2]), size


PASTS = (
    "plain", "conv", "padded-conv", "chomped-conv", "strided-conv", "pair-conv", "pool",
    "running-mean", "stacked-frames", "zeros-before",
)  # fmt: skip


def foreign(
    cell: str = "LSTM", past: str = "plain", end: str = "steps", **attributes: Any
) -> Foreign:
    """A model with two layers of one cell, what comes before it, and its last layer's output."""
    b = Builder()
    x, size = before_the_layer(b, past)
    first = b.layer(cell, x, "rnn.0", size, **attributes)
    second = b.layer(cell, first, "rnn.1", HIDDEN, **attributes)
    weights = b.weight("head", HIDDEN, OUTPUTS)
    if end == "last":
        last = b.op("Squeeze", "rnn.1.h", b.constant("first", [0]), to="last")
        b.op("MatMul", last, weights, to="y")
    else:
        rows = b.op("Transpose", second, to="rows", perm=[1, 0, 2])
        b.op("MatMul", rows, weights, to="y")
    model = b.model([("x", TensorProto.FLOAT, ["b", "t", FEATURES])], [("y", None)])
    return of_model(model)


def of_model(model: onnx.ModelProto, **options: Any) -> Foreign:
    """A foreign model whose origin is the graph itself in onnxruntime."""
    graph = ir.from_proto(model)
    example = np.random.default_rng(1).normal(size=(2, 12, FEATURES)).astype(np.float32)
    return Foreign("foreign", graph, {"x": example}, Engine(graph).run, **options)
