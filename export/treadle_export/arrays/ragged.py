"""Runs rows of unequal length through something that knows no lengths."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from treadle.errors import InputError

Array = NDArray[Any]


def run_by_length(run: Callable[[Array], Array], x: Array, lengths: Array) -> Array:
    """Runs rows of one length together, cut to it, so that no padding is ever seen.

    Args:
        run: [B, T, …] -> [B, T, O] or [B, O], of any batch and time.
        x: [B, T, …], padded.
        lengths: integers [B], each from 1 to T.

    Returns:
        float32 [B, T, O], zero where padded, or [B, O].

    Raises:
        InputError: `lengths` is not that.
    """
    if lengths.shape != x.shape[:1] or lengths.dtype.kind not in "iu":
        raise InputError(
            f"expected lengths of {len(x)} integers, got {lengths.dtype} {list(lengths.shape)}"
        )
    if not x.size or lengths.min() < 1 or lengths.max() > x.shape[1]:
        raise InputError(
            f"expected lengths from 1 to {x.shape[1]} for an input of shape {list(x.shape)}, got "
            f"{lengths.tolist()}; leave empty rows out"
        )
    result: Array | None = None
    for length in np.unique(lengths):
        rows = np.flatnonzero(lengths == length)
        outputs = run(x[rows, :length])
        if result is None:
            shape = x.shape[:2] if outputs.ndim == 3 else x.shape[:1]
            result = np.zeros((*shape, outputs.shape[-1]), np.float32)
        if outputs.ndim == 3:
            result[rows, :length] = outputs
        else:
            result[rows] = outputs
    if result is None:
        raise InputError("expected at least one row, got none")
    return result
