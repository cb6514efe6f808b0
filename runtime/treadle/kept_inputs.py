"""The last inputs of a stream: as it keeps them row by row, and as a value in a snapshot."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from treadle.arrays import frozen
from treadle.contract import DTYPES
from treadle.errors import StateError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from treadle.arrays import Array


@dataclass(frozen=True, slots=True, eq=False)
class KeptInputs:
    """The last inputs of each row, in the order in which it read them: read-only copies.

    x: [batch, time, …], int64, float32 or bool, as many columns as the longest row has; 0 beyond
        a row's length, whatever was given there.
    lengths: int64 [batch], how many inputs of each row are kept; 0 is allowed.
    vocabulary: digest of the vocabulary (`Vocabulary.digest`) that numbers the ids; "" where `x`
        holds numbers, or ids of no vocabulary.

    Raises StateError for arrays of other dtypes and shapes. Whether they fit a model is checked
    where they are restored.
    """

    x: NDArray[Any]
    lengths: NDArray[np.int64]
    vocabulary: str = ""

    def __post_init__(self) -> None:
        x, lengths = np.asarray(self.x), np.asarray(self.lengths)
        if x.ndim < 2 or not any(x.dtype == dtype for dtype in DTYPES):
            raise StateError(
                f"the inputs of a snapshot should be {', '.join(sorted(DTYPES))} [batch, time, …], "
                f"got {x.dtype} {list(x.shape)}"
            )
        fits = lengths.dtype == np.int64 and lengths.shape == x.shape[:1] and lengths.size
        if not fits or lengths.min() < 0 or lengths.max() > x.shape[1]:
            raise StateError(
                f"the lengths of the inputs of a snapshot should be int64 [{len(x)}] within "
                f"0..{x.shape[1]}, one for each row, got {lengths.dtype} {list(lengths.shape)}"
            )
        longest = int(lengths.max())
        x = x[:, :longest].copy()
        x[np.arange(longest) >= lengths[:, None]] = 0
        object.__setattr__(self, "x", frozen(x))
        object.__setattr__(self, "lengths", frozen(lengths))


class InputHistory:
    """At most the last `size` inputs of each row: numbers, or arrays that nobody writes into.

    A row has its own, so that one that reads seldom keeps as many as the others.
    """

    __slots__ = ("_rows",)

    def __init__(self, size: int, batch_size: int, kept: KeptInputs | None = None) -> None:
        """What `kept` holds to begin with, or nothing."""
        self._rows: list[deque[Any]] = [deque(maxlen=size) for _ in range(batch_size)]
        if kept is not None:
            self.extend(kept.x, kept.lengths)

    def add(self, x: Array, rows: NDArray[np.int64] | None = None) -> None:
        """Keep one input of all rows, or of some: `x` [batch, …], or a row of it for each."""
        places = self._rows if rows is None else [self._rows[row] for row in rows]
        for kept, one in zip(places, _apart(x), strict=True):
            kept.append(one)

    def extend(self, x: Array, lengths: NDArray[np.int64]) -> None:
        """Keep the inputs `x` [batch, time, …] of each row up to its length."""
        for kept, inputs, length in zip(self._rows, x, lengths.tolist(), strict=True):
            first = max(0, length - (kept.maxlen or 0))
            kept.extend(_apart(inputs[first:length]))

    def take_back(self, counts: NDArray[np.int64]) -> None:
        """Forget the last inputs of each row, int64 [batch] of them, which are all kept."""
        for kept, count in zip(self._rows, counts.tolist(), strict=True):
            for _ in range(count):
                kept.pop()

    def forget(self, rows: NDArray[np.int64]) -> None:
        """Forget all that these rows read."""
        for row in rows:
            self._rows[row].clear()

    def select(self, rows: NDArray[np.int64]) -> None:
        """Let row i have what row `rows[i]` had."""
        self._rows = [self._rows[row].copy() for row in rows]

    def copy(self) -> InputHistory:
        """One that goes on from here by itself."""
        copied = InputHistory(0, 0)
        copied._rows = [kept.copy() for kept in self._rows]
        return copied

    def rows(self) -> list[list[Any]]:
        """What each row has, the earliest first."""
        return [list(kept) for kept in self._rows]


def _apart(x: Array) -> list[Any]:
    """The items along the first axis, none of which keeps the memory of the others."""
    return x.tolist() if x.ndim == 1 else [one.copy() for one in x]
