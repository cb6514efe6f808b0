"""How many features a layer reads, said by its own arrays."""

import numpy as np

from treadle.errors import InputError
from treadle_export.arrays.layers import (
    BidirectionalArrays,
    DenseArrays,
    Layer,
    NormalizationArrays,
    RecurrentArrays,
    ScaleArrays,
)


def width_read(layer: Layer, where: str) -> int:
    """The width I of a network whose first layer is `layer`.

    Args:
        layer: any layer but an embedding.
        where: its name, for messages.

    Raises:
        InputError: the layer takes any width, or its array has not the axis that would say it.
    """
    if isinstance(layer, BidirectionalArrays):
        return width_read(layer.forward, where)
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
