"""Products in integers, and the scales of what they multiply."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from onnx import TensorProto

from tests.export.lint.cases.case import Case
from tests.export.lint.cases.weights import head, quantized_lstm
from tests.export.lint.graphs import (
    FEATURES,
    HIDDEN,
    declare,
    followed_by,
    model,
    operation,
    port,
    streaming,
    tensor,
    with_weight,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from onnx import ModelProto


def product(weights: NDArray[np.generic], activations: int = TensorProto.UINT8) -> ModelProto:
    """MatMulInteger of an input, unsigned unless told otherwise, with constant weights."""
    return model(
        [operation("MatMulInteger", "a W", "sums")],
        [port("a", ["batch", HIDDEN], activations)],
        [port("sums", None, TensorProto.INT32)],
        [tensor("W", weights)],
    )


def signed(largest: int) -> NDArray[np.int8]:
    made = np.ones((HIDDEN, 3), np.int8)
    made[2, 1] = largest
    return made


def dynamic(largest: int, *shape: int | str) -> ModelProto:
    """DynamicQuantizeMatMul, which quantizes its input itself, to unsigned."""
    node = operation("DynamicQuantizeMatMul", "a W scale", "y", domain="com.microsoft")
    weights = [tensor("W", signed(largest)), tensor("scale", np.array([0.1], np.float32))]
    return model([node], [port("a", [*shape, HIDDEN])], [port("y", None)], weights)


def quantize_dequantize(
    weights: NDArray[np.generic], *, activations: type[np.generic] = np.uint8
) -> ModelProto:
    """Static quantization: a product between DequantizeLinear nodes."""
    nodes = [
        operation("QuantizeLinear", "a scale zero", "a8"),
        operation("DequantizeLinear", "a8 scale zero", "a32", name="activations"),
        operation("DequantizeLinear", "W scale", "W32", name="weights"),
        operation("MatMul", "a32 W32", "y"),
    ]
    constants = [
        tensor("W", weights),
        tensor("scale", np.float32(0.1)),
        tensor("zero", np.array(9, activations)),
    ]
    return model(nodes, [port("a", ["batch", HIDDEN])], [port("y", None)], constants)


def lstm(largest: int) -> ModelProto:
    made = np.ones((1, HIDDEN, 4 * HIDDEN), np.int8)
    made[0, 0, 0] = largest
    return with_weight(quantized_lstm(), "R", made)


def one_row_of(made: ModelProto) -> ModelProto:
    return declare(made, "x", 1, 1, FEATURES)


def scaled_by_row() -> ModelProto:
    """Rows are quantized apart with primitive operators."""
    nodes = [
        operation("ReduceMax", "y last", "largest", keepdims=1),
        operation("Div", "y largest", "small"),
    ]
    return followed_by(streaming("GRU"), *nodes, last=[3])


SATURATES, SHARED = "saturating-product", "tensor-wise-scale"

CASES = [
    Case(
        SATURATES,
        "signed weights of full range",
        lambda: product(signed(-127)),
        "warning",
        ("1 MatMulInteger node ('matmulinteger')", "signed 8-bit weights of up to 127"),
    ),
    Case(SATURATES, "the first that may overflow", lambda: product(signed(65)), "warning", ("65",)),
    Case(SATURATES, "the largest that cannot", lambda: product(signed(-64))),
    Case(SATURATES, "unsigned weights", lambda: product(np.full((HIDDEN, 3), 255, np.uint8))),
    Case(SATURATES, "both signed", lambda: product(signed(127), TensorProto.INT8)),
    Case(SATURATES, "a product in floats", streaming),
    Case(SATURATES, "quantized on the way", lambda: dynamic(100, "b"), "warning", ("up to 100",)),
    Case(
        SATURATES,
        "an LSTM's recurrent weights",
        lambda: lstm(-128),
        "warning",
        ("1 DynamicQuantizeLSTM node ('layer')", "up to 128"),
    ),
    Case(SATURATES, "an LSTM with weights of 7 bits", lambda: lstm(64)),
    Case(
        SATURATES,
        "between DequantizeLinear nodes",
        lambda: quantize_dequantize(signed(90)),
        "warning",
        ("1 MatMul node ('matmul')", "up to 90"),
    ),
    Case(
        SATURATES,
        "both signed between DequantizeLinear nodes",
        lambda: quantize_dequantize(signed(90), activations=np.int8),
    ),
    Case(
        SATURATES,
        "unsigned between DequantizeLinear nodes",
        lambda: quantize_dequantize(np.full((HIDDEN, 3), 200, np.uint8)),
    ),
    Case(SHARED, "floats", streaming),
    Case(SHARED, "a scale a row", scaled_by_row),
    Case(
        SHARED,
        "DynamicQuantizeLinear",
        lambda: head(streaming("GRU")),
        "warning",
        (
            "1 DynamicQuantizeLinear node ('dynamicquantizelinear')",
            "activations of all rows and steps share one scale",
        ),
    ),
    Case(SHARED, "DynamicQuantizeLSTM", quantized_lstm, "warning", ("node ('layer')",)),
    Case(SHARED, "an LSTM of one row and step", lambda: one_row_of(quantized_lstm())),
    Case(SHARED, "DynamicQuantizeMatMul", lambda: dynamic(1, "b"), "warning", ("MatMul node",)),
    Case(SHARED, "a product of one row", lambda: dynamic(1, 1)),
    Case(SHARED, "a product of two rows", lambda: dynamic(1, 1, 2), "warning", ("share",)),
]
