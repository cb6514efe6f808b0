"""What each process reads of a batch: some of its rows.

Every process makes every batch and takes its rows of it, so that the order of the data, and what is
drawn for it, are those of one process.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from treadle_train.processes.group import Group


class Share(NamedTuple):
    """The rows of one process.

    A batch of fewer rows than processes is read by all of them, since all have to take part, and
    counts in the first one.
    """

    batch: Any
    counted: bool


class Shares:
    """This process's shares of batches, as Lightning asks for them.

    Every tensor and list of a batch has a row for each example; TypeError where one has not.
    """

    def __init__(self, batches: Any, group: Group) -> None:
        self.batches, self.group = batches, group

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Share]:
        for batch in self.batches:
            if len({*_lengths(batch)}) != 1:
                raise TypeError(
                    "Expected batches with as many rows in every tensor, which processes can "
                    f"share, got {list(_lengths(batch))} rows in {type(batch).__name__}."
                )
            own = rows_of(batch, self.group)
            yield Share(batch, counted=False) if own is None else Share(own, counted=True)


def rows_of(batch: Any, group: Group) -> Any:
    """A process's rows of a batch: of a tuple, also of tuples, of tensors and lists with rows.

    They are neighbours, in order; what is neither tensor nor list is of all rows. A batch of fewer
    rows than processes is the first one's, and None for the others.
    """
    if min(_lengths(batch)) >= group.count:
        return _cut(batch, group)
    return batch if group.first else None


def divided(batches: Sequence[Any], group: Group) -> list[Any] | None:
    """The shares of this process of all batches; None when one of the processes would have none."""
    for rank in range(group.count):
        if all(rows_of(batch, Group(rank, group.count)) is None for batch in batches):
            return None
    return [own for batch in batches if (own := rows_of(batch, group)) is not None]


def state_share(state: Mapping[str, Tensor], group: Group) -> dict[str, Tensor]:
    """The states of this process's rows, of states [B, ...] of all rows, as `Shares` cuts them."""
    if any(len(value) < group.count for value in state.values()):
        return dict(state)
    return {name: value[_rows(len(value), group)] for name, value in state.items()}


def whole_state(parts: Iterable[tuple[dict[str, Tensor], bool]]) -> dict[str, Tensor]:
    """The states [B, ...] of all rows, of each process's states and whether they count."""
    counted = [state for state, counts in parts if counts]
    if len(counted) == 1:
        return counted[0]
    return {name: torch.cat([state[name] for state in counted]) for name in counted[0]}


def _rows(rows: int, group: Group) -> slice:
    """Neighbouring rows, and for the first processes one more where they cannot be alike."""
    share, rest = divmod(rows, group.count)
    start = group.rank * share + min(group.rank, rest)
    return slice(start, start + share + (group.rank < rest))


def _cut(part: Any, group: Group) -> Any:
    if isinstance(part, Tensor | list):
        return part[_rows(len(part), group)]
    if isinstance(part, tuple):
        cut = [_cut(inner, group) for inner in part]
        return type(part)(*cut) if hasattr(part, "_fields") else tuple(cut)
    return part


def _lengths(part: Any) -> Iterator[int]:
    """How many rows each tensor and list has."""
    if isinstance(part, Tensor | list):
        yield len(part)
    elif isinstance(part, tuple):
        for inner in part:
            yield from _lengths(inner)
