"""Constraints: which symbols may come next, after the symbols that one sequence already has."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from treadle.errors import InputError, StateError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


class Constraint(Protocol):
    """What a sequence may be, symbol by symbol.

    States are values: no method changes one, so that hypotheses of a beam may share them.
    """

    def start(self) -> Any:
        """The state of a sequence without symbols."""

    def allowed(self, state: Any) -> Iterable[int]:
        """The ids that may come next."""

    def complete(self, state: Any) -> bool:
        """Whether the sequence may end here, without `allowed` naming the end symbol."""

    def advance(self, state: Any, symbol: int) -> Any:
        """The state after one more symbol, of those allowed; never called for the end."""


# What decoding accepts as a constraint: one, or a function from the ids made to the ids allowed.
Constraining = Constraint | Callable[[tuple[int, ...]], Iterable[int]]


class Callback:
    """A plain function as a constraint: from the ids made so far to those that may come next.

    The function allows the end by its id. The state is the tuple of ids.
    """

    def __init__(self, function: Callable[[tuple[int, ...]], Iterable[int]]) -> None:
        self._function = function

    def start(self) -> tuple[int, ...]:
        """No ids."""
        return ()

    def allowed(self, state: tuple[int, ...]) -> Iterable[int]:
        """What the function says."""
        return self._function(state)

    def complete(self, state: tuple[int, ...]) -> bool:  # noqa: ARG002 - of the protocol
        """Never: the function names the end itself."""
        return False

    def advance(self, state: tuple[int, ...], symbol: int) -> tuple[int, ...]:
        """The ids with one more."""
        return (*state, symbol)


def as_constraint(given: Constraining | None) -> Constraint | None:
    """A constraint for what decoding was given."""
    return Callback(given) if callable(given) else given


def allowed_mask(
    constraint: Constraint, state: Any, made: Sequence[int], end: int | None, size: int
) -> NDArray[np.bool_]:
    """Which of `size` symbols may come after `made`, bool `[V]`.

    All False only where the sequence is complete, nothing may follow and there is no end symbol.
    Raises InputError for an id outside the vocabulary; where nothing is allowed InputError before
    the first symbol and StateError later.
    """
    mask = np.zeros(size, dtype=bool)
    ids = np.fromiter(constraint.allowed(state), dtype=np.int64)
    outside = ids[(ids < 0) | (ids >= size)]
    if len(outside):
        raise InputError(
            f"the constraint allows the id {outside[0]} after the ids {list(made)}, but ids are in "
            f"0..{size - 1}; was it made for another vocabulary?"
        )
    mask[ids] = True
    complete = constraint.complete(state)
    if complete and end is not None:
        mask[end] = True
    if not complete and not mask.any():
        message = (
            f"expected the constraint to allow at least one symbol, got none after the ids "
            f"{list(made)}; let it allow the end symbol where a sequence may end"
        )
        raise StateError(message) if made else InputError(message)
    return mask
