"""ONNX files of one product in integers, written byte by byte: the runtime has no ONNX package.

Numbers of fields are those of onnx.proto, https://github.com/onnx/onnx/blob/main/onnx/onnx.proto.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from treadle.protobuf import message

if TYPE_CHECKING:
    from collections.abc import Mapping

    from treadle.arrays import Array

_IR_VERSION, _OPSET = 10, 21
_FLOAT, _UINT8, _INT8, _INT32 = 1, 2, 3, 6  # TensorProto.DataType
_TYPES = {"float32": _FLOAT, "uint8": _UINT8, "int8": _INT8, "int32": _INT32}
_INTEGER = 2  # AttributeProto.AttributeType


def integer_product(weights: Array, zero_point: Array) -> bytes:
    """MatMulInteger of `a` [M, K] with weights [K, N], as `constant` and as they are given in `b`.

    `zero_point` is that of `a`, a scalar of its dtype. Outputs, int32: "constant", "given".
    """
    nodes = [
        _node("MatMulInteger", ["a", "weights", "zero_point"], "constant"),
        _node("MatMulInteger", ["a", "b", "zero_point"], "given"),
    ]
    return _model(
        nodes,
        {"weights": weights, "zero_point": zero_point},
        {"a": zero_point.dtype.name, "b": weights.dtype.name},
        {"constant": "int32", "given": "int32"},
    )


def block_product(packed: Array, columns: int, bits: int, block_size: int) -> bytes:
    """MatMulNBits of `a` float32 [M, K] with `packed` uint8 [N, K / block_size, …], scales of 1.

    Activations are rounded to 8 bits (`accuracy_level` 4). Output, float32: "constant".
    """
    rows, blocks = packed.shape[:2]
    attributes = {
        "K": columns,
        "N": rows,
        "bits": bits,
        "block_size": block_size,
        "accuracy_level": 4,
    }
    node = _node("MatMulNBits", ["a", "weights", "scales"], "constant", attributes)
    scales = np.ones(rows * blocks, np.float32)
    arrays = {"weights": packed, "scales": scales}
    return _model([node], arrays, {"a": "float32"}, {"constant": "float32"})


def _model(
    nodes: list[bytes],
    arrays: Mapping[str, Array],
    inputs: Mapping[str, str],
    outputs: Mapping[str, str],
) -> bytes:
    graph = message(
        *((1, node) for node in nodes),
        (2, "probe"),
        *((5, _tensor(name, array)) for name, array in arrays.items()),
        *((11, _value(name, dtype)) for name, dtype in inputs.items()),
        *((12, _value(name, dtype)) for name, dtype in outputs.items()),
    )
    opsets = [message((2, _OPSET)), message((1, "com.microsoft"), (2, 1))]
    return message((1, _IR_VERSION), (7, graph), *((8, opset) for opset in opsets))


def _node(
    kind: str, inputs: list[str], output: str, attributes: Mapping[str, int] | None = None
) -> bytes:
    given = [
        message((1, name), (3, value), (20, _INTEGER)) for name, value in (attributes or {}).items()
    ]
    domain = "com.microsoft" if kind == "MatMulNBits" else ""
    return message(
        *((1, name) for name in inputs),
        (2, output),
        (4, kind),
        *((5, attribute) for attribute in given),
        (7, domain),
    )


def _tensor(name: str, array: Array) -> bytes:
    dims = ((1, size) for size in array.shape)
    kind = _TYPES[array.dtype.name]
    return message(*dims, (2, kind), (8, name), (9, array.tobytes()))


def _value(name: str, dtype: str) -> bytes:
    """A matrix of any size."""
    shape = message((1, b""), (1, b""))
    tensor = message((1, _TYPES[dtype]), (2, shape))
    return message((1, name), (2, message((1, tensor))))
