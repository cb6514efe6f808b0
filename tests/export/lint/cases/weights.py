"""Weights that are stored, computed, given, dequantized or of another type."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from onnx import TensorProto, helper

from tests.export.lint.cases.case import Case
from tests.export.lint.graphs import (
    FEATURES,
    HIDDEN,
    followed_by,
    operation,
    port,
    streaming,
    tensor,
    weights,
)

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from onnx import ModelProto, NodeProto

GRU_W = (1, 3 * HIDDEN, FEATURES)


def computed(*nodes: NodeProto, **constants: ArrayLike) -> ModelProto:
    """W of a GRU is made by `nodes` from constants."""
    made = streaming("GRU")
    layers = list(made.graph.node)
    kept = [value for value in made.graph.initializer if value.name != "W"]
    del made.graph.initializer[:], made.graph.node[:]
    made.graph.initializer.extend(kept)
    made.graph.initializer.extend(tensor(name, array) for name, array in constants.items())
    made.graph.node.extend([*nodes, *layers])
    return made


def sliced() -> ModelProto:
    return computed(
        operation("Concat", "low high", "rows", axis=0),
        operation("Unsqueeze", "rows first", "W"),
        low=np.ones((HIDDEN, FEATURES), np.float32),
        high=np.ones((2 * HIDDEN, FEATURES), np.float32),
        first=[0],
    )


def dequantized() -> ModelProto:
    node = operation("DequantizeLinear", "small scale", "W")
    return computed(node, small=np.ones(GRU_W, np.int8), scale=np.float32(0.01))


def constant_node() -> ModelProto:
    return computed(operation("Constant", "", "W", value=tensor("", np.ones(GRU_W, np.float32))))


def given() -> ModelProto:
    made = computed()
    made.graph.input.append(port("W", GRU_W))
    return made


def replaceable(ir_version: int) -> ModelProto:
    made = streaming("GRU")
    made.ir_version = ir_version
    made.graph.input.append(port("W", GRU_W))
    return made


def head(made: ModelProto) -> ModelProto:
    """A product behind the layer, quantized dynamically as onnxruntime does it."""
    nodes = [
        operation("DynamicQuantizeLinear", "y", "y8 s z"),
        operation("MatMulInteger", "y8 V", "sums"),
        operation("Cast", "sums", "logits", to=TensorProto.FLOAT),
    ]
    return followed_by(made, *nodes, V=np.ones((HIDDEN, 3), np.uint8))


def quantized_lstm() -> ModelProto:
    """What onnxruntime makes of `streaming()`: weights [D, I, 4*H] and [D, H, 4*H]."""
    made = streaming()
    made.graph.node[0].op_type = "DynamicQuantizeLSTM"
    made.graph.node[0].domain = "com.microsoft"
    scales = ("W_scale", "W_zero", "R_scale", "R_zero")
    made.graph.node[0].input.extend(["", *scales])
    del made.graph.initializer[:]
    draw = np.random.default_rng(0)
    arrays: dict[str, ArrayLike] = {
        "W": draw.integers(-64, 65, (1, FEATURES, 4 * HIDDEN)).astype(np.int8),
        "R": draw.integers(-64, 65, (1, HIDDEN, 4 * HIDDEN)).astype(np.int8),
        **{name: np.ones(1, np.float32) for name in scales[::2]},
        **{name: np.zeros(1, np.int8) for name in scales[1::2]},
    }
    made.graph.initializer.extend(tensor(name, array) for name, array in arrays.items())
    return made


def passed_through_the_quantizer() -> ModelProto:
    made = streaming("GRU")
    made.producer_name = "onnx.quantize"
    return made


def in_type(dtype: type) -> ModelProto:
    made = streaming("GRU")
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    del made.graph.initializer[:]
    made.graph.initializer.extend(weights("GRU", dtype=dtype))
    for value in (*made.graph.input, *made.graph.output):
        if value.type.tensor_type.elem_type == TensorProto.FLOAT:
            value.type.tensor_type.elem_type = kind
    return made


COMPUTED = "computed-weights"
UNQUANTIZED = "unquantized-recurrence"
TYPE = "not-float32"

CASES = [
    Case(COMPUTED, "initializers", streaming),
    Case(COMPUTED, "a Constant node", constant_node),
    Case(
        COMPUTED,
        "put together from parts",
        sliced,
        "warning",
        (
            "GRU node 'layer'",
            "W is computed by Unsqueeze node 'unsqueeze' (from Concat, Unsqueeze)",
        ),
    ),
    Case(COMPUTED, "dequantized", dequantized, "warning", ("by DequantizeLinear node",)),
    Case(COMPUTED, "given by the caller", given, "warning", ("W ('W') is an input",)),
    Case(
        COMPUTED,
        "an initializer that a caller may replace",
        lambda: replaceable(10),
        "warning",
        ("W ('W') is an initializer and also an input, which a caller may set",),
    ),
    Case(COMPUTED, "an initializer of an old file, which must be an input", lambda: replaceable(3)),
    Case(UNQUANTIZED, "nothing is quantized", streaming),
    Case(
        UNQUANTIZED,
        "only the product behind it",
        lambda: head(streaming("GRU")),
        "warning",
        (
            "quantized (DynamicQuantizeLinear, MatMulInteger)",
            "GRU node 'layer' still multiplies float32 weights of 1,344 bytes",
        ),
    ),
    Case(
        UNQUANTIZED,
        "the quantizer changed nothing",
        passed_through_the_quantizer,
        "warning",
        ("the file has been quantized (by onnx.quantize)",),
    ),
    Case(UNQUANTIZED, "the LSTM is quantized", lambda: head(quantized_lstm())),
    Case(UNQUANTIZED, "the weights are integers at rest", dequantized),
    Case(TYPE, "float32", streaming),
    Case(TYPE, "an LSTM of integers", quantized_lstm),
    Case(
        TYPE,
        "float64",
        lambda: in_type(np.float64),
        "error",
        ("GRU node 'layer' computes in float64",),
    ),
    Case(TYPE, "float16", lambda: in_type(np.float16), "note", ("in half precision",)),
]
