"""Candidates with figures that nobody measured."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from treadle.stopwatch import Latency
from treadle_export.quantization.precision import precision_named
from treadle_export.quantization.settings import Settings
from treadle_export.tuning.candidates import Candidate
from treadle_export.tuning.pareto import Measured
from treadle_export.tuning.workload import STEP

if TYPE_CHECKING:
    from collections.abc import Mapping

    from treadle_export.tuning.workload import Workload


def candidate(precision: str, threads: int = 1) -> Candidate:
    settings = replace(Settings.of(precision_named(precision)), threads=threads)
    return Candidate(precision, settings)


def measured(
    precision: str,
    micros: float | Mapping[Workload, float],
    size: int = 100,
    loss: float = 0.0,
    *,
    threads: int = 1,
    budget: float = 0.01,
    offered: bool = True,
) -> Measured:
    times = micros if not isinstance(micros, int | float) else {STEP: micros}
    return Measured(
        candidate=candidate(precision, threads),
        latencies={each: Latency(time, 2 * time, 10, threads) for each, time in times.items()},
        bytes=size,
        loss=loss,
        budget=budget,
        offered=offered,
        exceptions={},
    )
