"""The ways in which the axes of a module's example can be read, and the sizes to try them at.

An example may have one row and one step, and nothing says which axis is which.
"""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from treadle_export.torch_modules.named_tensors import Call

_FEWEST_STEPS = 4

Size = tuple[int, int | None]
"""Rows and steps; None without a time axis."""


@dataclass(frozen=True, slots=True)
class Axes:
    """How to read one input.

    batch, time: where these axes are; None where it has none.
    added: the example has no batch axis; it is put at `batch`.
    counts: it holds numbers of steps, which grow with time.
    """

    batch: int | None
    time: int | None = None
    added: bool = False
    counts: bool = False

    def resized(self, tensor: Tensor, rows: int, steps: int | None, base: int | None) -> Tensor:
        """The example `tensor` with `rows` rows and `steps` steps in place of its `base` steps."""
        if self.batch is not None:
            tensor = tensor.unsqueeze(self.batch) if self.added else tensor
            # In order, so that lengths that fall from row to row still do.
            own = tensor.shape[self.batch]
            tensor = _taken(tensor, self.batch, [row * own // rows for row in range(rows)])
        if steps is None or base is None:
            return tensor
        if self.time is not None:
            tensor = _taken(tensor, self.time, [step % max(base, 1) for step in range(steps)])
        return tensor * steps // base if self.counts and base else tensor


def _taken(tensor: Tensor, axis: int, places: Sequence[int]) -> Tensor:
    if not tensor.shape[axis]:
        shape = [len(places) if at == axis else size for at, size in enumerate(tensor.shape)]
        return tensor.new_zeros(shape)
    return tensor.index_select(axis, torch.tensor(places))


def adds_batch(axes: Mapping[str, Axes]) -> bool:
    """Whether the example lacks the batch axis in this reading."""
    return any(own.added for own in axes.values())


def readings(
    call: Call, declared: Mapping[str, Sequence[str | None]], lengths: str | None
) -> Iterator[dict[str, Axes]]:
    """Readings of all inputs together, the usual ones first; a missing batch axis comes last.

    Tensors of one kind in one parameter, as the parts of a state, are read alike.
    """
    groups: dict[Hashable, list[str]] = {}
    for name, tensor in call.tensors.items():
        own = name if name in declared or name == lengths else None
        kind = (call.parameters[name], tensor.dim(), tensor.is_floating_point(), own)
        groups.setdefault(kind, []).append(name)
    for added in (False, True):
        choices = [
            _declared_or_chosen(call, names[0], declared, lengths, added=added)
            for names in groups.values()
        ]
        most = sum(len(choice) - 1 for choice in choices)
        for cost in range(most + 1):
            for places in _places([len(choice) for choice in choices], cost):
                axes = {
                    name: choice[place]
                    for names, choice, place in zip(groups.values(), choices, places, strict=True)
                    for name in names
                }
                if adds_batch(axes) == added and _consistent(call, axes):
                    yield axes


def _places(sizes: Sequence[int], cost: int) -> Iterator[tuple[int, ...]]:
    """Every tuple of indices below `sizes` whose sum is `cost`."""
    if not sizes:
        yield from [()] if cost == 0 else []
        return
    for first in range(min(cost, sizes[0] - 1) + 1):
        for rest in _places(sizes[1:], cost - first):
            yield (first, *rest)


def _declared_or_chosen(
    call: Call,
    name: str,
    declared: Mapping[str, Sequence[str | None]],
    lengths: str | None,
    *,
    added: bool,
) -> list[Axes]:
    labels = declared.get(name, declared.get(call.parameters[name]))
    if labels is not None:
        return [_declared(labels)]
    return list(_choices(call.tensors[name], name == lengths, added=added))


def _declared(names: Sequence[str | None]) -> Axes:
    places = {name: axis for axis, name in enumerate(names)}
    return Axes(places.get("batch"), places.get("time"))


def _choices(tensor: Tensor, is_lengths: bool, *, added: bool) -> Iterator[Axes]:
    """Readings of one input, the usual ones first; `added`: its rank lacks the batch axis."""
    rank = tensor.dim() + added
    whole = not tensor.is_floating_point()
    if rank == 1 and whole:
        yield Axes(0, added=added, counts=True)
    if is_lengths:
        return
    if rank > 1:
        yield Axes(0, 1, added)
        yield Axes(1, 0, added)
    if rank > 2:
        yield from (Axes(0, time, added) for time in range(2, rank))
        yield Axes(1, None, added)
    if rank > 0:
        yield Axes(0, None, added)
    if rank == 2:
        yield Axes(1, None, added)
    yield Axes(None)


def _consistent(call: Call, axes: Mapping[str, Axes]) -> bool:
    """One batch, one time at most, lengths only beside it."""
    batches, times = set(), set()
    for name, own in axes.items():
        shape = call.tensors[name].shape
        if own.batch is not None:
            batches.add(1 if own.added else shape[own.batch])
        if own.time is not None:
            times.add(shape[own.time - (own.added and own.batch == 0)])
    counted = any(own.counts for own in axes.values())
    return len(batches) == 1 and len(times) <= 1 and (bool(times) or not counted)


def sizes_of(call: Call, axes: Mapping[str, Axes]) -> tuple[tuple[Size, Size], int | None]:
    """Two sizes (rows, steps) to call the module at, and the steps of the example.

    The example's own where they can be told apart. Steps are multiples of the example's: a module
    may take several at once.
    """
    batch, base = 1, None
    for name, own in axes.items():
        shape = call.tensors[name].shape
        if own.batch is not None and not own.added:
            batch = shape[own.batch]
        if own.time is not None:
            base = shape[own.time - (own.added and own.batch == 0)]
    rows = max(batch, 2)
    if base is None:
        return ((rows, None), (rows + 1, None)), None
    steps = max(base, 1) * -(-_FEWEST_STEPS // max(base, 1))
    rows += rows == steps
    more = rows + 1 + (rows + 1 == 2 * steps)
    return ((rows, steps), (more, 2 * steps)), base
