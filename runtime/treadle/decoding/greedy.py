"""Greedy search: the most likely symbol at every step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.decoding.sampled import sample_search
from treadle.decoding.sampling import Sampler

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from treadle.decoding.constraint import Constraint
    from treadle.decoding.decoder import Decoded, Decoder


def greedy_search(
    stream: Decoder,
    *,
    start: int | NDArray[np.int64],
    end: int | None,
    max_length: int,
    constraint: Constraint | None = None,
    until: Callable[[Sequence[int]], bool] | None = None,
    time_limit: float | None = None,
) -> list[Decoded]:
    """One sequence a row: follow the largest logit, of equal ones the lowest id.

    A row stops at `end` or after `max_length` steps; what it would say afterwards is not looked
    at. The score is the log-probability. For the other options and errors see `sample_search`.
    """
    return sample_search(
        stream,
        Sampler(temperature=0.0),
        start=start,
        end=end,
        max_length=max_length,
        constraint=constraint,
        until=until,
        time_limit=time_limit,
    )
