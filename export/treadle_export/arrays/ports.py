"""What a network reads and gives: the names of its ports, and what its first layer asks for."""

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir

from treadle.errors import InputError
from treadle_export.arrays.layers import (
    BidirectionalArrays,
    DenseArrays,
    EmbeddingArrays,
    Layer,
    NormalizationArrays,
    RecurrentArrays,
    ScaleArrays,
)

TOKENS, FEATURES, LENGTHS, OUTPUT = "token", "x", "lengths", "output"


def require_order(layers: Mapping[str, Layer]) -> None:
    """Raises InputError without a recurrent layer, or where an embedding is not the first."""
    kinds = [type(layer).__name__ for layer in layers.values()]
    if not any(isinstance(v, RecurrentArrays | BidirectionalArrays) for v in layers.values()):
        raise InputError(
            f"expected at least one recurrent layer, got {', '.join(kinds) or 'no layer at all'}"
        )
    if EmbeddingArrays.__name__ in kinds[1:]:
        raise InputError(
            f"expected an embedding only as the first layer, got {', '.join(kinds)}; "
            f"look the ids up before anything else"
        )


def input_port(layers: Mapping[str, Layer]) -> tuple[ir.Value, int]:
    """The input of a network and how many features it has: 0 where they are ids.

    Raises:
        InputError: the first layer takes any width, or its array has not the axis that says it.
    """
    name, first = next(iter(layers.items()))
    if isinstance(first, EmbeddingArrays):
        shape = ir.Shape(["batch", "time"])
        return ir.Value(name=TOKENS, shape=shape, type=ir.TensorType(ir.DataType.INT64)), 0
    width = _width_read(first, name)
    shape = ir.Shape(["batch", "time", width])
    return ir.Value(name=FEATURES, shape=shape, type=ir.TensorType(ir.DataType.FLOAT)), width


def _width_read(layer: Layer, where: str) -> int:
    """How many features a layer reads, said by its own arrays."""
    if isinstance(layer, BidirectionalArrays):
        return _width_read(layer.forward, where)
    if isinstance(layer, RecurrentArrays):
        shape, axis = np.shape(layer.input_weights), 0 if layer.order == "keras" else -1
    elif isinstance(layer, DenseArrays):
        shape, axis = np.shape(layer.weights), -1 if layer.order == "torch" else 0
    elif isinstance(layer, ScaleArrays):
        shape, axis = np.shape(layer.factors), 0
    elif isinstance(layer, NormalizationArrays):
        shape, axis = np.shape(layer.gain), 0
    else:
        shape, axis = (), 0
    if not shape or not shape[axis]:
        raise InputError(
            f"expected a first layer whose arrays say how many features it reads, got "
            f"{type(layer).__name__} {where!r} with the shape {list(shape)}; put a recurrent or a "
            f"dense layer first"
        )
    return int(shape[axis])
