"""How long one call takes: percentiles over many calls, measured one way everywhere."""

from __future__ import annotations

import gc
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from treadle.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@dataclass(frozen=True, slots=True)
class Latency:
    """Median and 99th percentile of a call in microseconds, over `steps` calls."""

    p50_us: float
    p99_us: float
    steps: int
    threads: int

    def to_json(self) -> dict[str, Any]:
        """The figures as one JSON object."""
        return asdict(self)


def measure(
    call: Callable[[], object], *, steps: int = 2000, warmup: int = 200, threads: int = 1
) -> Latency:
    """Time `call` `steps` times, each call by itself, after `warmup` calls that do not count.

    Every call is timed apart, so that a percentile is of calls and not of averages; the garbage
    collector rests meanwhile. A percentile is a time that occurred (nearest rank). `threads` is
    only noted: set it where the session is opened. Raises InputError for no steps.

        stream = model.stream()
        token = np.zeros(1, np.int64)
        measure(lambda: stream.step(token, copy=False)).p50_us
    """
    if steps < 1 or warmup < 0:
        raise InputError(f"expected steps >= 1 and warmup >= 0, got {steps} and {warmup}")
    for _ in range(warmup):
        call()
    times = np.empty(steps, dtype=np.int64)
    clock = time.perf_counter_ns
    with garbage_collector_off():
        for step in range(steps):
            began = clock()
            call()
            times[step] = clock() - began
    p50, p99 = np.percentile(times, [50, 99], method="inverted_cdf") / 1000.0
    return Latency(float(p50), float(p99), steps, threads)


@contextmanager
def garbage_collector_off() -> Iterator[None]:
    """No collection until the end; then as it was before."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
