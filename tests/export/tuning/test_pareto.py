"""The front, and the choice on it, over figures that are known."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.export.tuning.made_up import candidate, measured
from treadle_export.tuning.pareto import TIE, chosen, front
from treadle_export.tuning.workload import STEP, Workload

if TYPE_CHECKING:
    from treadle_export.tuning.pareto import Measured

FIELD = st.lists(
    st.builds(
        measured,
        st.sampled_from(["float32", "int8", "int4"]),
        st.sampled_from([10.0, 10.1, 10.15, 11.0, 20.0, 40.0]),
        st.integers(1, 4),
        st.sampled_from([-0.001, 0.0, 0.004, 0.009, 0.02, math.nan]),
        threads=st.sampled_from([1, 2]),
        offered=st.sampled_from([True, True, False]),
    ),
    max_size=12,
)


def dominates(one: Measured, other: Measured) -> bool:
    pairs = list(zip(one.costs(), other.costs(), strict=True))
    return all(a <= b for a, b in pairs) and one.costs() != other.costs()


@given(FIELD)
def test_the_front_is_what_nothing_beats(field: list[Measured]) -> None:
    eligible = [one for one in field if one.offered and one.loss <= one.budget]
    on_front = front(field)
    for one in eligible:
        assert (one in on_front) is not any(dominates(other, one) for other in eligible)
    assert all(one.eligible for one in on_front)
    assert bool(on_front) is bool(eligible)


@given(FIELD)
def test_what_is_chosen_is_on_the_front_and_as_fast_as_any(field: list[Measured]) -> None:
    best = chosen(field)
    eligible = [one for one in field if one.eligible]
    if best is None:
        assert eligible == []
        return
    assert best in front(field)
    assert best.latency <= min(one.latency for one in eligible) * (1 + TIE)
    as_fast = [one for one in eligible if one.latency <= best.latency]
    assert best.bytes == min(one.bytes for one in as_fast)


def test_the_fastest_within_the_budget_wins() -> None:
    fast, slow = measured("int4", 10, loss=0.02), measured("int8", 20, loss=0.001)
    plain = measured("float32", 30)
    assert chosen([plain, slow, fast]) is slow
    assert chosen([plain, slow, measured("int4", 10, loss=0.01)]) is not slow


def test_as_fast_and_smaller_wins_then_fewer_threads() -> None:
    large, small = measured("int8", 10.0, 200), measured("int4", 10.1, 100)
    assert chosen([large, small]) is small
    assert chosen([large, measured("int4", 11.0, 100)]) is large
    one, two = measured("int8", 10.1), measured("int8", 10.0, threads=2)
    assert chosen([two, one]) is one
    assert set(map(id, front([two, one]))) == {id(one), id(two)}


def test_what_is_only_compared_or_struck_out_is_not_chosen() -> None:
    plain, second = measured("float32", 5, offered=False), measured("int8", 10)
    first = measured("int4", 8, threads=2)
    field = [plain, first, second]
    assert chosen(field) is first
    assert chosen(field, {candidate("int4")}) is second
    assert chosen(field, {candidate("int4"), candidate("int8")}) is None


def test_several_workloads_count_alike() -> None:
    batch = Workload("step", 1, 32)
    even = measured("int8", {STEP: 10.0, batch: 10.0})
    uneven = measured("int4", {STEP: 4.0, batch: 30.0})
    assert even.latency == pytest.approx(10.0)
    assert uneven.latency == pytest.approx(math.sqrt(120))
    assert chosen([even, uneven]) is even
    assert front([even, uneven]) == [even, uneven]
