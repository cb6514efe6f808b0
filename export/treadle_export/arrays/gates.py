"""A recurrent layer's arrays, checked and taken apart into gates, whatever order they are in."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from treadle.errors import InputError
from treadle_export.arrays.layers import Floats, RecurrentArrays

GATE_ORDERS = {
    "torch": {"lstm": "ifgo", "gru": "rzg", "rnn": "g"},
    "keras": {"lstm": "ifgo", "gru": "zrg", "rnn": "g"},
    "onnx": {"lstm": "iofg", "gru": "zrg", "rnn": "g"},
}
"""Input, forget and output gate, update (z) and reset gate, and g: the candidate, by any name."""


@dataclass(frozen=True, slots=True)
class Gate:
    """One gate's own arrays, multiplied from the right: x @ input + h @ recurrent + biases."""

    input: NDArray[np.float64]  # [I, H]
    recurrent: NDArray[np.float64]  # [H, H]
    input_bias: NDArray[np.float64]  # [H]
    recurrent_bias: NDArray[np.float64]  # [H]


def floats(array: Floats, shape: tuple[int, ...], what: str) -> NDArray[np.float64]:
    """The array in float64, once its shape, dtype and values are what they should be.

    Raises:
        InputError: they are not; names `what`, the expected and the given.
    """
    given = np.asarray(array)
    if given.shape != shape:
        raise InputError(
            f"expected {what} of shape {list(shape)}, got {list(given.shape)}; "
            f"check the order that the arrays are in, and transpose or stack them"
        )
    if given.dtype.kind != "f":
        raise InputError(f"expected {what} of floating-point numbers, got {given.dtype}")
    if not np.isfinite(given).all():
        raise InputError(f"expected finite numbers in {what}, got NaN or infinity")
    return given.astype(np.float64)


def gates_of(layer: RecurrentArrays, inputs: int, where: str) -> dict[str, Gate]:
    """The layer's gates by their letter in `GATE_ORDERS`.

    Args:
        layer: the layer's arrays.
        inputs: the width of what the layer reads.
        where: the layer's name, for messages.

    Raises:
        InputError: an unknown order, cell or reset, or an array of another shape than these say.
    """
    for name, value, known in (
        ("order", layer.order, tuple(GATE_ORDERS)),
        ("cell", layer.cell, tuple(GATE_ORDERS["torch"])),
        ("reset", layer.reset, ("before", "after")),
    ):
        if value not in known:
            raise InputError(
                f"expected {name} of {', '.join(known)} at layer {where!r}, got {value!r}"
            )
    letters = GATE_ORDERS[layer.order][layer.cell]
    x, h = _weights(layer, len(letters), inputs, where)
    bias_x, bias_h = _biases(layer, x.shape[1], where)
    parts = (np.split(array, len(letters), axis=-1) for array in (x, h, bias_x, bias_h))
    return {letter: Gate(*arrays) for letter, *arrays in zip(letters, *parts, strict=True)}


def _weights(
    layer: RecurrentArrays, gates: int, inputs: int, where: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both weights from the right: [I, G*H] and [H, G*H]."""
    described = f"of layer {where!r} ({layer.cell}, order {layer.order})"
    rank = 3 if layer.order == "onnx" else 2
    for name in ("input_weights", "recurrent_weights"):
        if np.ndim(getattr(layer, name)) != rank:
            raise InputError(
                f"expected {name} {described} of {rank} axes, got the shape "
                f"{list(np.shape(getattr(layer, name)))}"
            )
    own_axis = 0 if layer.order == "keras" else -1  # the axis that is not gates
    hidden = np.shape(layer.recurrent_weights)[own_axis]
    columns, arrays = gates * hidden, []
    # The recurrent weights first: where the order is wrong, they say so most plainly.
    for name, rows in (("recurrent_weights", hidden), ("input_weights", inputs)):
        shape = (rows, columns) if layer.order == "keras" else (columns, rows)
        shape = (1, *shape) if layer.order == "onnx" else shape
        array = floats(getattr(layer, name), shape, f"{name} {described}")
        array = array[0] if layer.order == "onnx" else array
        arrays.append(array if layer.order == "keras" else array.T)
    return arrays[1], arrays[0]


def _biases(
    layer: RecurrentArrays, columns: int, where: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The input's and the recurrent bias [G*H], zeros where there is none."""
    described = f"of layer {where!r} ({layer.cell}, order {layer.order})"
    if layer.recurrent_bias is not None and layer.order != "torch":
        raise InputError(
            f"expected no recurrent_bias {described}, got one; in this order `bias` holds both"
        )
    zeros = np.zeros(columns)
    if layer.order == "torch":
        given = [("bias", layer.bias), ("recurrent_bias", layer.recurrent_bias)]
        read = [
            zeros if array is None else floats(array, (columns,), f"{name} {described}")
            for name, array in given
        ]
        return read[0], read[1]
    if layer.bias is None:
        return zeros, zeros
    if layer.order == "onnx":
        array = floats(layer.bias, (1, 2 * columns), f"bias {described}")[0]
        return array[:columns], array[columns:]
    if layer.cell == "gru" and layer.reset == "after":
        array = floats(layer.bias, (2, columns), f"bias {described}")
        return array[0], array[1]
    return floats(layer.bias, (columns,), f"bias {described}"), zeros
