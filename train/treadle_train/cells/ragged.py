"""Rows of unequal length: masks, reversal within a row's length, and unrolling without padding.

Notation: B batch, T time, F features.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

S = TypeVar("S", bound=tuple[Tensor, ...])


def valid_positions(lengths: Tensor, time: int) -> Tensor:
    """True where position < length: bool [B, T]."""
    return torch.arange(time, device=lengths.device) < lengths[:, None]


def all_full(lengths: Tensor, time: int) -> bool:
    """Whether no row is padded, so that the kernels for full rows, the faster ones, serve."""
    return bool((lengths == time).all())


def reverse(x: Tensor, lengths: Tensor | None) -> Tensor:
    """Reverse each row of x [B, T, F] within its length; padding stays where it is."""
    if lengths is None:
        return x.flip(1)
    position = torch.arange(x.shape[1], device=x.device)
    mirrored = lengths[:, None] - 1 - position
    index = torch.where(mirrored >= 0, mirrored, position)
    return x.gather(1, index[:, :, None].expand_as(x))


def unroll_packed(
    run: Callable[[Tensor, Any, Tensor | None], tuple[Tensor, Any]],
    x: Tensor,
    state: tuple[Tensor, ...],
    lengths: Tensor,
) -> tuple[Tensor, list[Tensor]]:
    """Unroll rows of unequal length through `run`, which takes packed data.

    x [B, T, F], lengths int64 [B] in 0..T. Returns outputs [B, T, H], zero where padded, and the
    state at each row's length. Packing knows no empty rows: they go through one step, whose
    result is thrown away.
    """
    empty = (lengths == 0)[:, None]
    packed = pack_padded_sequence(
        x, lengths.clamp(min=1).cpu(), batch_first=True, enforce_sorted=False
    )
    order, undo = packed.sorted_indices, packed.unsorted_indices
    if order is None or undo is None:  # cannot be with enforce_sorted=False; for the type checker
        raise RuntimeError("pack_padded_sequence returned no order of rows")
    ordered = type(state)(*(part.index_select(0, order) for part in state))
    data, final = run(packed.data, ordered, packed.batch_sizes)
    outputs, _ = pad_packed_sequence(
        PackedSequence(data, packed.batch_sizes, order, undo),
        batch_first=True,
        total_length=x.shape[1],
    )
    outputs = outputs.masked_fill(empty[:, :, None], 0.0)
    ends = [
        torch.where(empty, before, after.index_select(0, undo))
        for before, after in zip(state, final, strict=True)
    ]
    return outputs, ends


def loop(
    advance: Callable[[Tensor, S], tuple[Tensor, S]],
    projected: Tensor,
    state: S,
    batch_sizes: Tensor | None,
) -> tuple[Tensor, S]:
    """Time steps in Python, for cells without a kernel; arguments and result as of `Cell.run`.

    projected holds the input's products, [B, T, G*H] or packed [N, G*H]; advance takes those of the
    rows that are alive at a step, and their state [rows, H], to (output, next state).
    """
    kind: Any = type(state)
    steps = (
        projected.unbind(1) if batch_sizes is None else torch.split(projected, batch_sizes.tolist())
    )
    outputs = []
    for rows in steps:
        count = rows.shape[0]
        output, alive = advance(rows, kind(*(part[:count] for part in state)))
        outputs.append(output)
        state = kind(*(torch.cat([a, part[count:]]) for a, part in zip(alive, state, strict=True)))
    return torch.stack(outputs, dim=1) if batch_sizes is None else torch.cat(outputs), state
