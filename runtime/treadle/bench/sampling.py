"""Calls made until their median is known: the warm-up is found, not guessed."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from treadle.bench.times import Times
from treadle.errors import InputError
from treadle.stopwatch import garbage_collector_off

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

ROUND = 0.2
"""Seconds of calls between two looks at what is known."""
ROUNDS = 5
"""So many at least: a warm-up that is longer than all calls there are looks like rest."""
SETTLED = 0.1
"""The medians of both halves differ by no more than this share, or it has not come to rest."""
_PARTS = 200  # of a warm-up's search


@dataclass(frozen=True, slots=True)
class Patience:
    """When enough is known.

    tight: half the median's interval, as a share of the median. calls: the fewest that count.
    seconds: the most that a scenario takes, whatever is known by then.
    """

    tight: float = 0.01
    calls: int = 2000
    seconds: float = 5.0

    def __post_init__(self) -> None:
        if not (self.tight > 0 and self.calls >= 1 and self.seconds > 0):
            raise InputError(
                f"expected a tightness and seconds above 0 and at least 1 call, got "
                f"{self.tight!r}, {self.seconds!r} and {self.calls!r}"
            )


def sample(
    call: Callable[[], object],
    patience: Patience | None = None,
    *,
    clock: Callable[[], int] = time.perf_counter_ns,
) -> Times:
    """What `call` takes, each call timed by itself while the garbage collector rests.

    Rounds of calls go on until the median is tight and enough calls count, or the time is up. What
    `call` raises goes through.
    """
    patience = patience or Patience()
    began, rounds = clock(), [_timed(call, 16, clock)]
    length = min(ROUND, patience.seconds / ROUNDS) * 1e9
    with garbage_collector_off():
        while True:
            typical = max(float(np.median(rounds[-1])), 1.0)
            rounds.append(_timed(call, int(np.clip(length / typical, 16, 100_000)), clock))
            times = steady_part(np.concatenate(rounds))
            enough = len(times.ns) >= patience.calls and times.tightness <= patience.tight
            if (
                enough and times.steady and len(rounds) > ROUNDS
            ) or clock() - began > patience.seconds * 1e9:
                return times


def steady_part(ns: NDArray[np.int64]) -> Times:
    """The calls [N] without those that warmed up.

    The marginal standard error rule: leave out as many at the start as make the standard error of
    what is left smallest, but never more than half (White, "An effective truncation heuristic for
    bias reduction in simulation output", 1997). Here it reads medians of short stretches, as
    single calls have outliers that are no warm-up; and of truncations that are alike the shortest.
    It is steady unless more than half would have to go, or what is left still changes.
    """
    size = max(1, len(ns) // _PARTS)
    count = len(ns) // size
    if count < 4:
        return Times(ns)
    medians = np.median(ns[: count * size].reshape(count, size), axis=1)
    left = np.arange(count, 0, -1.0)
    sums, squares = (np.cumsum(x[::-1])[::-1] for x in (medians, medians**2))
    errors = np.maximum(squares - sums**2 / left, 0.0) / left**2
    allowed = errors[: count // 2 + 1]
    cut = int(np.flatnonzero(allowed <= allowed.min() * 1.05)[0])
    before, after = (float(np.median(half)) for half in np.array_split(ns[cut * size :], 2))
    settled = abs(before - after) <= SETTLED * min(before, after)
    steady = settled and int(allowed.argmin()) < count // 2
    return Times(ns[cut * size :], warmup=cut * size, steady=steady)


def _timed(call: Callable[[], object], count: int, clock: Callable[[], int]) -> NDArray[np.int64]:
    times = np.empty(count, np.int64)
    for index in range(count):
        began = clock()
        call()
        times[index] = clock() - began
    return times
