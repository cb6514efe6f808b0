"""A stream that never ends: its memory and its latency stay what they are."""

from __future__ import annotations

import gc
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.endurance.inputs import SYMBOLS, symbol
from tests.memory import resident_bytes

if TYPE_CHECKING:
    from treadle.model import Model

LARGEST_GROWTH = 1 << 20


def run(model: Model, steps: int) -> tuple[int, list[float]]:
    """How much the memory grew after the first tenth, and the median latency of every tenth."""
    # Written once, so that its pages count before the first step.
    latencies = np.ones((10, steps // 10))
    inputs = [np.array([symbol(0, step)]) for step in range(5 * SYMBOLS)]
    before, clock = 0, time.perf_counter
    with model.stream() as stream:
        for tenth, row in enumerate(latencies):
            for step in range(len(row)):
                x = inputs[step % len(inputs)]
                began = clock()
                stream.step(x)
                row[step] = clock() - began
            if tenth == 0:
                gc.collect()
                before = resident_bytes()
        grown = resident_bytes() - before
        assert stream.steps.tolist() == [latencies.size]
    return grown, [float(median) for median in np.median(latencies, axis=1)]


@pytest.mark.usefixtures("_memory_can_be_read")
def test_20_000_steps(model: Model) -> None:
    grown, _ = run(model, 20_000)
    assert grown <= LARGEST_GROWTH


@pytest.mark.slow
@pytest.mark.usefixtures("_memory_can_be_read")
def test_1_000_000_steps(model: Model) -> None:
    grown, medians = run(model, 1_000_000)
    print(f"{grown / 1024:.0f} KiB more; medians {[f'{1e6 * m:.1f} µs' for m in medians]}")
    assert grown <= LARGEST_GROWTH
    assert medians[-1] <= 1.2 * medians[1]
