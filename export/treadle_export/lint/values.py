"""What is known of a value without running anything: its constant, its numbers, its sizes."""

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from treadle_export.lint.external import fault


def constant(value: ir.Value | None) -> ir.TensorProtocol | None:
    """The tensor behind an initializer or a Constant node, None for anything else."""
    if value is None:
        return None
    try:
        return ir.convenience.get_const_tensor(value)
    except ValueError:  # a Constant node that holds nothing, or two things
        return None


def numbers(value: ir.Value | None) -> NDArray[np.generic] | None:
    """The array of a constant; None where it is none, or its data are missing or damaged."""
    tensor = constant(value)
    if tensor is None or (isinstance(tensor, ir.ExternalTensor) and fault(tensor) is not None):
        return None
    try:
        return tensor.numpy()
    except (ValueError, TypeError, OSError, OverflowError, NotImplementedError):
        return None


def integers(value: ir.Value | None) -> tuple[int, ...] | None:
    """The integers of a constant, such as a shape or axes."""
    array = numbers(value)
    if array is None or not np.issubdtype(array.dtype, np.integer):
        return None
    return tuple(int(entry) for entry in array.reshape(-1))


def dims(value: ir.Value | None) -> tuple[int | None, ...] | None:
    """Its sizes, None where one is free or unknown; None when not even the rank is known."""
    if value is None or value.shape is None:
        return None
    return tuple(_size(size) for size in value.shape)


def size(value: ir.Value | None, axis: int) -> int | None:
    """The fixed size of one axis, None where it is free or unknown."""
    sizes = dims(value)
    return None if sizes is None or axis >= len(sizes) else sizes[axis]


def shown(value: ir.Value) -> str:
    """Its sizes as one reads them, e.g. `[3, ?, 8]`."""
    sizes = dims(value)
    if sizes is None:
        return "of unknown shape"
    return "[" + ", ".join("?" if entry is None else str(entry) for entry in sizes) + "]"


def _size(entry: int | ir.SymbolicDim) -> int | None:
    return entry if isinstance(entry, int) and entry > 0 else None
