"""The stopwatch: percentiles of calls that really happened."""

from __future__ import annotations

import gc
import itertools

import pytest

from treadle.errors import InputError
from treadle.stopwatch import Latency, measure


def test_percentiles_are_of_single_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    # A clock that lets call number n last n microseconds, n from 1 to 200.
    ticks = itertools.accumulate(
        itertools.chain.from_iterable((5_000, 1000 * n) for n in range(1, 201))
    )
    monkeypatch.setattr("treadle.stopwatch.time.perf_counter_ns", lambda: next(ticks))
    latency = measure(lambda: None, steps=200, warmup=0, threads=2)
    assert latency == Latency(p50_us=100.0, p99_us=198.0, steps=200, threads=2)
    assert latency.to_json() == {"p50_us": 100.0, "p99_us": 198.0, "steps": 200, "threads": 2}


def test_warmup_calls_do_not_count() -> None:
    calls = []
    assert measure(lambda: calls.append(gc.isenabled()), steps=3, warmup=2).steps == 3
    assert calls == [True, True, False, False, False]
    assert gc.isenabled()


def test_an_error_gets_through_and_the_collector_runs_again() -> None:
    with pytest.raises(ZeroDivisionError):
        measure(lambda: 1 // 0, warmup=0)
    assert gc.isenabled()


def test_nothing_to_measure_is_an_error() -> None:
    with pytest.raises(InputError, match="expected steps >= 1 and warmup >= 0, got 0 and 5"):
        measure(lambda: None, steps=0, warmup=5)
