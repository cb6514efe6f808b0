"""Check every array before the engine reads it: bad input never reaches onnxruntime."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from treadle.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import ArrayLike, NDArray

    from treadle.manifest import Tensor

Array = np.ndarray[Any, np.dtype[Any]]


class Reading(NamedTuple):
    """What a graph reads at each step: ids in [0, symbols), or finite numbers.

    `features` is the shape of one row of one step: () for an id, or a feature vector's.
    """

    name: str
    dtype: np.dtype[Any]
    features: tuple[int, ...]
    symbols: int | None

    @classmethod
    def of(cls, tensor: Tensor, symbols: int | None, *, axes: int) -> Reading:
        """What `tensor` holds, behind its first `axes` axes; `symbols` counts the vocabulary."""
        features = tuple(size for size in tensor.shape[axes:] if isinstance(size, int))
        dtype = np.dtype(tensor.dtype)
        return cls(tensor.name, dtype, features, symbols if dtype == np.int64 else None)

    def array(self, x: ArrayLike, *axes: int | str) -> Array:
        """`x` as an array of the shape [*axes, *features]; a name stands for any size.

        Raises InputError for another dtype, rank or size.
        """
        array = _as_array(x, self.name)
        expected = (*axes, *self.features)
        fits = array.dtype == self.dtype and array.ndim == len(expected)
        if fits and all(
            e == s or type(e) is str for e, s in zip(expected, array.shape, strict=True)
        ):
            return array
        raise InputError(
            f"{self.name} should be {self.dtype} [{', '.join(map(str, expected))}], "
            f"got {array.dtype} {list(array.shape)}; {self._advice(array, expected)}"
        )

    def _advice(self, array: Array, expected: tuple[int | str, ...]) -> str:
        if array.dtype != self.dtype:
            return f"convert it: .astype({str(self.dtype)!r})"
        if array.ndim != len(expected):
            return "step() reads one time step, feed() and unroll() read whole sequences"
        return "open a stream of the batch size you have"

    def check_values(self, array: Array) -> None:
        """Raise InputError, naming the place, for an id out of range or a number not finite."""
        if self.symbols is None:
            wrong = ~np.isfinite(array)
            expected = "finite numbers"
        else:
            wrong = (array < 0) | (array >= self.symbols)
            expected = f"ids in 0..{self.symbols - 1}"
        if wrong.any():
            place = tuple(int(i) for i in np.argwhere(wrong)[0])
            raise InputError(
                f"{self.name} should hold {expected}, got {array[place]} at {list(place)}; "
                "leave it out or replace it"
            )

    def quick_check(self, buffer: Array) -> Callable[[], bool]:
        """A function that says whether `buffer` holds valid values, in about a microsecond."""
        flat = buffer.reshape(-1)
        symbols = self.symbols
        if symbols is None:
            finite, isfinite = np.empty(flat.shape, bool), np.isfinite
            # To look for a zero byte takes a fifth of the time of all().
            return lambda: b"\0" not in isfinite(flat, finite).tobytes()
        if flat.size == 1:
            item = flat.item
            return lambda: 0 <= item() < symbols
        # Read as unsigned, a negative id is a large one, so the largest tells of both sides.
        unsigned, largest = flat.view(np.uint64), np.maximum.reduce
        return lambda: bool(largest(unsigned) < symbols)

    def padded(
        self, x: ArrayLike, lengths: ArrayLike | None, axis: str, *, least: int, batch_size: int = 0
    ) -> tuple[Array, NDArray[np.int64]]:
        """A copy of `x` [batch, `axis`, …], zero where padded, and the length of each row.

        What is written beyond a row's length is never looked at. `lengths` default to the whole
        axis; each is at least `least`. A `batch_size` of 0 takes the batch of `x`. Raises
        InputError.
        """
        array = self.array(x, batch_size or "batch", axis)
        if not len(array):
            raise InputError(f"{self.name} has no rows; leave out empty batches")
        counts = _lengths(lengths, array, axis, least)
        inside = np.arange(array.shape[1]) < counts[:, None]
        array = array.copy()
        array[~inside] = 0
        self.check_values(array)
        return array, counts

    def stacked(self, rows: Sequence[ArrayLike]) -> tuple[Array, NDArray[np.int64]]:
        """Ragged `rows` as one array padded with 0, and the length of each. Raises InputError."""
        try:
            lengths = np.array([len(row) for row in rows], np.int64)  # type: ignore[arg-type]
        except TypeError as error:
            raise InputError(
                f"{self.name} should be a list of rows, each a list of its own; {error}"
            ) from error
        stacked = np.zeros((len(rows), int(lengths.max(initial=0)), *self.features), self.dtype)
        for row, (values, length) in enumerate(zip(rows, lengths, strict=True)):
            if length:
                stacked[row, :length] = self.array(values, int(length))
        return stacked, lengths


def check_rows(rows: ArrayLike, batch_size: int) -> NDArray[np.int64]:
    """Indices of rows as int64 [n]. Raises InputError for other types and for rows not there."""
    array = _as_array(rows, "rows")
    if not array.size:
        return np.zeros(0, np.int64)
    if array.dtype.kind not in "iu" or array.ndim != 1:
        raise InputError(
            f"rows should be a list of integers, got {array.dtype} {list(array.shape)}"
        )
    if array.min() < 0 or array.max() >= batch_size:
        raise InputError(f"rows should be in 0..{batch_size - 1}, got {array.min()}..{array.max()}")
    return array.astype(np.int64)


def frozen(array: Array) -> Array:
    """A read-only copy, rows one after another."""
    copied = np.array(array, copy=True, order="C")
    copied.flags.writeable = False
    return copied


def _as_array(values: ArrayLike, what: str) -> Array:
    try:
        return np.asarray(values)
    except ValueError as error:
        raise InputError(f"{what} should be one array without gaps; {error}") from error


def check_count(value: object, what: str, least: int) -> int:
    """`value` as an integer of at least `least`. Raises InputError."""
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < least:
        raise InputError(f"{what} should be an integer of at least {least}, got {value!r}")
    return int(value)


def _lengths(lengths: ArrayLike | None, array: Array, axis: str, least: int) -> NDArray[np.int64]:
    batch, columns = array.shape[:2]
    if lengths is None:
        counts = np.full(batch, columns, np.int64)
    else:
        counts = _as_array(lengths, "lengths")
        if counts.dtype != np.int64 or counts.shape != (batch,):
            raise InputError(
                f"lengths should be int64 [{batch}], one for each row, got {counts.dtype} "
                f"{list(counts.shape)}"
            )
    if counts.min() < least or counts.max() > columns:
        row = int(np.flatnonzero((counts < least) | (counts > columns))[0])
        raise InputError(
            f"the length of row {row} should be in {least}..{columns}, the {axis} axis, "
            f"got {counts[row]}"
        )
    return counts
