"""A network of arrays as one ONNX graph over whole sequences.

Batch first at the ports, time first between them, as the recurrent operators want it.

Operators: ONNX LSTM, GRU, RNN, Gather, MatMul, LayerNormalization, ReverseSequence.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from onnx_ir.passes import common

from treadle.errors import InputError
from treadle_export.arrays.activations import SOFTMAX, onnx_activation
from treadle_export.arrays.gates import floats
from treadle_export.arrays.kernel import Kernel, kernel_of, kernel_of_both
from treadle_export.arrays.layers import (
    ActivationArrays,
    BidirectionalArrays,
    DenseArrays,
    EmbeddingArrays,
    Floats,
    Layer,
    NormalizationArrays,
    RecurrentArrays,
    ScaleArrays,
)
from treadle_export.arrays.ports import LENGTHS, OUTPUT, input_port, require_order
from treadle_export.canonical import IR_VERSION, OPSET
from treadle_export.passes.activations import apply
from treadle_export.passes.rewriting import Emitter

_MERGES = {"sum": "ReduceSum", "mul": "ReduceProd", "ave": "ReduceMean"}
_FLOAT = ir.TensorType(ir.DataType.FLOAT)


@dataclass(slots=True)
class _Flow:
    """What flows between layers: [T, B, width], or [B, width] without a sequence."""

    value: ir.Value
    width: int
    sequence: bool = True


class _Builder:
    """Writes one layer after the other behind two inputs: x and lengths."""

    def __init__(self, x: ir.Value, name: str) -> None:
        self.x = x
        self.lengths = ir.Value(
            name=LENGTHS, shape=ir.Shape(["batch"]), type=ir.TensorType(ir.DataType.INT64)
        )
        self.graph = ir.Graph([x, self.lengths], [], nodes=[], opset_imports={"": OPSET}, name=name)
        self.e = Emitter(self.graph)
        self.lengths32 = self.e.op("Cast", self.lengths, to=ir.DataType.INT32)

    def weight(self, name: str, array: Floats) -> ir.Value:
        """A float32 initializer under its own name, however small: states are named after it."""
        tensor = ir.Tensor(np.ascontiguousarray(array, np.float32), name=name)
        value = ir.Value(name=name, shape=tensor.shape, type=_FLOAT, const_value=tensor)
        self.graph.register_initializer(value)
        return value

    def embedding(self, layer: EmbeddingArrays, flow: _Flow, name: str) -> _Flow:
        table = layer.table
        if np.ndim(table) != 2:
            raise InputError(
                f"expected the table of layer {name!r} to be [V, E], got {list(np.shape(table))}"
            )
        rows = self.weight(f"{name}.table", floats(table, np.shape(table), f"table of {name!r}"))
        return _Flow(self.e.op("Gather", rows, flow.value, axis=0), int(table.shape[1]))

    def recurrent(
        self, layer: RecurrentArrays | BidirectionalArrays, flow: _Flow, name: str
    ) -> _Flow:
        if not flow.sequence:
            raise InputError(
                f"expected a sequence before layer {name!r}, got a last state alone; "
                f"set sequences=True on the recurrent layer before it"
            )
        if isinstance(layer, BidirectionalArrays):
            kernel = kernel_of_both(layer, flow.width, name)
            every, last = self._node(kernel, flow.value, name)
            sequences = layer.forward.sequences
            merged = self._merged(every if sequences else last, layer, name)
            width = kernel.hidden_size * (2 if layer.merge == "concat" else 1)
            return _Flow(merged, width, sequences)
        kernel = kernel_of(layer, flow.width, name)
        every, last = self._node(kernel, flow.value, name)
        if not layer.sequences:
            return _Flow(self.e.op("Squeeze", last, self.e.axes(0)), kernel.hidden_size, False)
        outputs = self.e.op("Squeeze", every, self.e.axes(1))
        if layer.go_backwards:
            outputs = self.e.op("ReverseSequence", outputs, self.lengths, time_axis=0, batch_axis=1)
        return _Flow(outputs, kernel.hidden_size)

    def _node(self, kernel: Kernel, x: ir.Value, name: str) -> tuple[ir.Value, ir.Value]:
        """Y [T, D, B, H] and Y_h [D, B, H]."""
        every, last, *_ = self.e.ops(
            kernel.operator,
            x,
            self.weight(f"{name}.w", kernel.w),
            self.weight(f"{name}.r", kernel.r),
            self.weight(f"{name}.b", kernel.b),
            self.lengths32,
            outputs=3 if kernel.operator == "LSTM" else 2,
            **kernel.attributes(),
        )
        return every, last

    def _merged(self, both: ir.Value, layer: BidirectionalArrays, name: str) -> ir.Value:
        """[T, 2, B, H] or [2, B, H] -> [T, B, …] or [B, …]."""
        sequences = layer.forward.sequences
        if layer.merge == "concat":
            perm, shape = ([0, 2, 1, 3], (0, 0, -1)) if sequences else ([1, 0, 2], (0, -1))
            beside = self.e.op("Transpose", both, perm=perm)
            return self.e.op("Reshape", beside, self.e.axes(*shape))
        if layer.merge not in _MERGES:
            raise InputError(
                f"expected a merge of concat, {', '.join(_MERGES)} at layer {name!r}, got "
                f"{layer.merge!r}"
            )
        axes = self.e.axes(1 if sequences else 0)
        return self.e.op(_MERGES[layer.merge], both, axes, keepdims=0)

    def dense(self, layer: DenseArrays, flow: _Flow, name: str) -> _Flow:
        if np.ndim(layer.weights) != 2:
            raise InputError(
                f"expected the weights of layer {name!r} to have 2 axes, got the shape "
                f"{list(np.shape(layer.weights))}"
            )
        weights = layer.weights.T if layer.order == "torch" else layer.weights
        outputs = int(weights.shape[1])
        shape = (flow.width, outputs)
        given = shape[::-1] if layer.order == "torch" else shape
        floats(layer.weights, given, f"weights of layer {name!r} (order {layer.order})")
        value = self.e.op("MatMul", flow.value, self.weight(f"{name}.weights", weights))
        if layer.bias is not None:
            bias = floats(layer.bias, (outputs,), f"bias of layer {name!r}")
            value = self.e.op("Add", value, self.weight(f"{name}.bias", bias))
        activated = self._activated(layer.activation, value, name)
        return _Flow(activated, outputs, flow.sequence)

    def activation(self, layer: ActivationArrays, flow: _Flow, name: str) -> _Flow:
        value = self._activated(layer.activation, flow.value, name)
        return _Flow(value, flow.width, flow.sequence)

    def _activated(self, activation: str, value: ir.Value, name: str) -> ir.Value:
        if activation == SOFTMAX:
            return self.e.op("Softmax", value, axis=-1)
        return apply(self.e, onnx_activation(activation, name), value)

    def scale(self, layer: ScaleArrays, flow: _Flow, name: str) -> _Flow:
        factors = floats(layer.factors, (flow.width,), f"factors of layer {name!r}")
        terms = floats(layer.terms, (flow.width,), f"terms of layer {name!r}")
        product = self.e.op("Mul", flow.value, self.weight(f"{name}.factors", factors))
        value = self.e.op("Add", product, self.weight(f"{name}.terms", terms))
        return _Flow(value, flow.width, flow.sequence)

    def normalization(self, layer: NormalizationArrays, flow: _Flow, name: str) -> _Flow:
        if not (math.isfinite(layer.epsilon) and layer.epsilon > 0):
            raise InputError(f"expected a positive epsilon at layer {name!r}, got {layer.epsilon}")
        gain = floats(layer.gain, (flow.width,), f"gain of layer {name!r}")
        shift = floats(layer.shift, (flow.width,), f"shift of layer {name!r}")
        value = self.e.op(
            "LayerNormalization",
            flow.value,
            self.weight(f"{name}.gain", gain),
            self.weight(f"{name}.shift", shift),
            axis=-1,
            epsilon=layer.epsilon,
        )
        return _Flow(value, flow.width, flow.sequence)

    def layer(self, layer: Layer, flow: _Flow, name: str) -> _Flow:
        """Writes one layer."""
        if isinstance(layer, EmbeddingArrays):
            return self.embedding(layer, flow, name)
        if isinstance(layer, RecurrentArrays | BidirectionalArrays):
            return self.recurrent(layer, flow, name)
        if isinstance(layer, DenseArrays):
            return self.dense(layer, flow, name)
        if isinstance(layer, ActivationArrays):
            return self.activation(layer, flow, name)
        if isinstance(layer, ScaleArrays):
            return self.scale(layer, flow, name)
        return self.normalization(layer, flow, name)

    def finish(self, flow: _Flow) -> ir.Model:
        """Brings the last value to the port, batch first, and checks the graph."""
        value = flow.value
        perm = [1, 0, 2]
        value = self.e.op("Transpose", value, perm=perm) if flow.sequence else value
        axes = ("batch", "time") if flow.sequence else ("batch",)
        value.name, value.type = OUTPUT, _FLOAT
        value.shape = ir.Shape([*axes, flow.width])
        self.e.name_after(f"{self.graph.name}.")
        self.graph.extend(self.e.nodes)
        self.graph.outputs.append(value)
        model = ir.Model(self.graph, ir_version=IR_VERSION, producer_name="treadle")
        passes = ir.passes.Sequential(common.ShapeInferencePass(), common.CheckerPass())
        return passes(model).model


def build(layers: Mapping[str, Layer], name: str) -> ir.Model:
    """The graph of a network.

    Args:
        layers: the layers by name, in order; an embedding only as the first.
        name: of the graph.

    Returns:
        a checked model: inputs `token` int64 [batch, time] or `x` float32 [batch, time, I], and
        `lengths` int64 [batch]; output `output` float32 [batch, time, O] (not specified where
        padded), or [batch, O].

    Raises:
        InputError: an array, an activation or the order of layers does not fit.
    """
    require_order(layers)
    x, width = input_port(layers)
    builder = _Builder(x, name)
    transposed = builder.e.op("Transpose", x, perm=[1, 0, 2] if width else [1, 0])
    flow = _Flow(transposed, width)
    for layer_name, layer in layers.items():
        flow = builder.layer(layer, flow, layer_name)
    return builder.finish(flow)
