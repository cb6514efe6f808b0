"""The last few states of a stream, so that steps can be taken back."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from treadle.arrays import check_count
from treadle.errors import StateError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from treadle.arrays import Array

    Moment = tuple[dict[str, Array], NDArray[np.int64]]


class History:
    """At most `size` moments, each the state and the steps before a time step.

    Raises InputError unless `size` is an integer of at least 0.
    """

    __slots__ = ("_moments", "size")

    def __init__(self, size: int) -> None:
        self.size = check_count(size, "history", 0)
        self._moments: deque[Moment] = deque(maxlen=self.size)

    def add(self, state: Mapping[str, Array], steps: NDArray[np.int64]) -> None:
        """Remember copies of `state`, and `steps`, which nobody writes into."""
        self._moments.append(({name: array.copy() for name, array in state.items()}, steps))

    def extend(self, other: History) -> None:
        """Remember what `other` does, after what is here."""
        self._moments.extend(other._moments)

    def back(self, count: int) -> Moment:
        """Forget the last `count` moments, one at least, and return the earliest of them.

        Raises StateError when there are fewer.
        """
        if count > len(self._moments):
            raise StateError(
                f"cannot rewind {count} steps: the history holds {len(self._moments)}; "
                f"open the stream with history={count} or more, and step after that"
            )
        for _ in range(count - 1):
            self._moments.pop()
        return self._moments.pop()

    def clear(self) -> None:
        """Forget all."""
        self._moments.clear()
