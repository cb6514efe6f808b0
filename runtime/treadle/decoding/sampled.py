"""Sampled search: one sequence a row, every symbol drawn by a Sampler."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from treadle.decoding.constraint import allowed_mask
from treadle.decoding.decoder import Decoded, log_softmax, read_logits
from treadle.decoding.time_limit import TimeLimit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from treadle.decoding.constraint import Constraint
    from treadle.decoding.decoder import Decoder
    from treadle.decoding.sampling import Sampler


def sample_search(
    stream: Decoder,
    sampler: Sampler,
    *,
    start: int | NDArray[np.int64],
    end: int | None,
    max_length: int,
    rows: Sequence[int] | None = None,
    constraint: Constraint | None = None,
    until: Callable[[Sequence[int]], bool] | None = None,
    time_limit: float | None = None,
) -> list[Decoded]:
    """One sequence a row, drawn symbol by symbol; with temperature 0 it is greedy search.

    Every row reads `start` first, or its own of `[B]`. A row stops at `end`, if there is one, when
    `until` is true of its ids, or after `max_length` steps; what it would say afterwards is not
    looked at. All stop after the step that passes `time_limit`
    seconds. `rows` are the numbers by which rows draw (see `Sampler.draw`). `constraint` holds for
    each row. The score is the log-probability, of the model as it is: neither temperature nor
    penalty nor constraint change it. Raises StateError for logits that are not finite, InputError
    and StateError for a constraint that allows nothing.
    """
    limit = TimeLimit(time_limit)
    states = [None if constraint is None else constraint.start()] * stream.batch_size
    ids: list[list[int]] = [[] for _ in range(stream.batch_size)]
    totals = np.zeros(stream.batch_size)
    active = np.ones(stream.batch_size, dtype=bool)
    tokens = np.full(stream.batch_size, start, dtype=np.int64)
    for step in range(max_length):
        logits = read_logits(stream.step(tokens), step)
        allowed = _allowed(constraint, states, ids, active, end, logits.shape[1])
        if not active.any():
            break
        made = None if sampler.repetition_penalty == 1 else _made(ids, logits.shape[1])
        tokens = sampler.draw(logits, step, made=made, allowed=allowed, rows=rows)
        chosen = np.take_along_axis(log_softmax(logits), tokens[:, None], axis=1)[:, 0]
        totals[active] += chosen[active]
        if end is not None:
            active &= tokens != end
        for row in np.flatnonzero(active):
            ids[row].append(int(tokens[row]))
            if constraint is not None:
                states[row] = constraint.advance(states[row], ids[row][-1])
            active[row] = not (until and until(ids[row]))
        if not active.any() or limit.passed:
            break
    return [
        Decoded(tuple(made), float(total), float(total), finished=not running)
        for made, total, running in zip(ids, totals, active, strict=True)
    ]


def _allowed(
    constraint: Constraint | None,
    states: list[Any],
    ids: list[list[int]],
    active: NDArray[np.bool_],
    end: int | None,
    size: int,
) -> NDArray[np.bool_] | None:
    """What each row may draw, `[B, V]`: anything once it has stopped. None without constraint.

    Takes a row after whose ids nothing may come, and no end symbol either, out of `active`.
    """
    if constraint is None:
        return None
    allowed = np.ones((len(ids), size), dtype=bool)
    for row in np.flatnonzero(active):
        mask = allowed_mask(constraint, states[row], ids[row], end, size)
        active[row] = mask.any()
        if active[row]:
            allowed[row] = mask
    return allowed


def _made(ids: list[list[int]], size: int) -> NDArray[np.bool_]:
    """Which symbols each row has made, `[B, V]`."""
    made = np.zeros((len(ids), size), dtype=bool)
    for row, symbols in enumerate(ids):
        made[row, symbols] = True
    return made
