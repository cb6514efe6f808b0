"""What a stream does with a row whose input holds NaN or infinity, and where such rows are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from treadle.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from treadle.arrays import Array, Reading

OnNonfinite = Literal["error", "hold", "reset"]
# error: InputError, and nothing is read. hold: the row keeps its state, and repeats the outputs of
# the last step that it read; before any, they are 0. reset: the row goes back to its initial state
# and to 0 steps, and its outputs are 0.


def check_on_nonfinite(asked: object, reading: Reading) -> None:
    """Raise InputError for another word, and for "hold" or "reset" where ids are read."""
    if asked not in get_args(OnNonfinite):
        raise InputError(f'on_nonfinite must be "error", "hold" or "reset", got {asked!r}')
    if asked != "error" and reading.dtype.kind != "f":
        raise InputError(
            f"on_nonfinite={asked!r} is about numbers that are not finite, but {reading.name} "
            f"holds ids, {reading.dtype}; leave it out"
        )


def rows_not_finite(x: Array, axes: int) -> NDArray[np.bool_]:
    """Where `x` holds a value that is not finite, bool of its first `axes` axes."""
    finite = np.isfinite(x)
    # To look for a zero byte takes a fifth of the time of all().
    if b"\0" not in finite.tobytes():
        return np.zeros(x.shape[:axes], bool)
    return np.logical_not(finite.all(axis=tuple(range(axes, x.ndim))))


def pieces(wrong: NDArray[np.bool_], columns: int) -> Iterator[tuple[slice, NDArray[np.bool_]]]:
    """Slices that cover `columns` columns of `wrong` [batch, time], and the rows wrong in each.

    A column in which a row is wrong stands alone; those between, in which none is, together.
    """
    start, nobody = 0, np.zeros(len(wrong), bool)
    for column in np.flatnonzero(wrong[:, :columns].any(axis=0)).tolist():
        if column > start:
            yield slice(start, column), nobody
        yield slice(column, column + 1), wrong[:, column]
        start = column + 1
    if start < columns:
        yield slice(start, columns), nobody
