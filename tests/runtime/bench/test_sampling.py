"""Sampling with a clock that the test moves: when it stops, and what it leaves out."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import numpy as np
import pytest

from treadle.bench.sampling import Patience, sample, steady_part
from treadle.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

US = 1000


class Simulated:
    """Call number n lasts `duration(n)` microseconds; nothing else takes any time."""

    def __init__(self, duration: Callable[[int], float]) -> None:
        self.duration, self.now, self.calls, self.collecting = duration, 0, 0, False

    def __call__(self) -> None:
        self.now += int(self.duration(self.calls) * US)
        self.calls += 1
        self.collecting |= self.calls > 16 and gc.isenabled()

    def clock(self) -> int:
        return self.now


def noisy(level: Callable[[int], float]) -> Callable[[int], float]:
    draw = np.random.default_rng(3)
    return lambda n: level(n) * draw.uniform(0.98, 1.02)


@pytest.mark.parametrize("warm", [0, 400, 3000])
def test_the_warm_up_is_found(warm: int) -> None:
    call = Simulated(noisy(lambda n: 50 + 200 * (n < warm)))
    times = sample(call, clock=call.clock)
    assert times.steady
    assert abs(times.warmup - warm) <= call.calls // 100  # it is found in steps of 200ths
    assert times.median == pytest.approx(50 * US, rel=0.01)
    assert (times.ns > 51.1 * US).mean() < 0.01
    assert not call.collecting
    assert gc.isenabled()


def test_outliers_are_no_warm_up() -> None:
    call = Simulated(noisy(lambda n: 5000 if n % 997 == 5 else 50))
    times = sample(call, clock=call.clock)
    assert times.warmup == 0
    assert times.ns.max() > 4000 * US


def test_it_ends_when_the_median_is_tight_and_not_before() -> None:
    quick = Simulated(noisy(lambda _: 100))
    times = sample(quick, Patience(tight=0.01, calls=2000, seconds=50), clock=quick.clock)
    assert times.tightness <= 0.01
    assert quick.now < 2e9  # long before its time is up
    wild = np.random.default_rng(1)
    loose = Simulated(lambda _: float(wild.exponential(100)) + 1)
    times = sample(loose, Patience(tight=0.001, calls=2000, seconds=3), clock=loose.clock)
    assert times.tightness > 0.001
    assert 3e9 < loose.now < 3.5e9


def test_what_never_comes_to_rest_is_said() -> None:
    call = Simulated(noisy(lambda n: 100 + n / 10))
    times = sample(call, Patience(seconds=2), clock=call.clock)
    assert not times.steady
    assert call.now > 2e9


def test_a_handful_of_calls_is_kept() -> None:
    for count in range(1, 12):
        times = steady_part(np.full(count, 7))
        assert (times.warmup, len(times.ns), times.steady) == (0, count, True)


def test_an_error_goes_through_and_the_collector_runs_again() -> None:
    def fails() -> None:
        if not gc.isenabled():
            raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        sample(fails)
    assert gc.isenabled()


@pytest.mark.parametrize("wrong", [{"tight": 0}, {"calls": 0}, {"seconds": -1.0}, {"tight": -1}])
def test_impatience_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError, match="expected a tightness and seconds above 0"):
        Patience(**wrong)  # type: ignore[arg-type]
