"""What is said of times: percentiles that occurred, intervals that cover, sums of histograms."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle.bench.times import BEYOND, CONFIDENCE, PERCENTILES, Times, _ranks_outside

DURATIONS = st.lists(st.integers(1, 10**11), min_size=1, max_size=300).map(
    lambda values: Times(np.array(values, np.int64))
)


@given(times=DURATIONS)
def test_every_figure_is_of_calls_that_were_made(times: Times) -> None:
    said = times.to_json()
    known = {value / 1000 for value in times.ns.tolist()}
    for name in ("p50_us", "worst_us"):
        assert said[name] in known
    assert set(said["interval_us"]) <= known
    low, high = said["interval_us"]
    assert low <= high
    assert said["calls"] == len(times.ns)
    ordered = [said[f"{name}_us"] for name in PERCENTILES if said[f"{name}_us"] is not None]
    assert ordered == sorted(ordered)
    assert said["jitter_us"] * 1000 == pytest.approx(
        np.mean([abs(b - a) for a, b in pairwise(times.ns.tolist())]) if len(times.ns) > 1 else 0.0
    )


@given(times=DURATIONS)
def test_each_call_is_in_the_bin_of_the_histogram_that_holds_it(times: Times) -> None:
    edges, counts = times.histogram()
    assert len(edges) == len(counts) + 1
    assert sum(counts) == len(times.ns)
    assert counts[0] > 0 < counts[-1]
    assert all(b / a == pytest.approx(2 ** (1 / 8)) for a, b in pairwise(edges))
    near = 1e-9  # a duration on an edge may fall on either side of it
    for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True):
        inside = (times.ns / 1000 >= low * (1 - near)) & (times.ns / 1000 <= high * (1 + near))
        assert count <= inside.sum()


@pytest.mark.parametrize(("calls", "known"), [(99, 1), (100, 2), (999, 2), (1000, 3), (10_000, 4)])
def test_nothing_is_said_of_a_percentile_with_few_calls_beyond_it(calls: int, known: int) -> None:
    said = Times(np.arange(1, calls + 1)).to_json()
    shares = [said[f"{name}_us"] for name in PERCENTILES]
    assert [share is not None for share in shares] == [True] * known + [False] * (4 - known)
    for name, share in list(PERCENTILES.items())[:known]:
        assert said[f"{name}_us"] * 1000 == math.ceil(round(share * calls, 6))
        assert name == "p50" or calls * (1 - share) >= BEYOND - 1e-9


@pytest.mark.parametrize("count", range(1, 60))
def test_the_interval_covers_the_median_as_often_as_it_says(count: int) -> None:
    outside = _ranks_outside(count)
    missed = 2 * sum(math.comb(count, k) for k in range(outside)) / 2**count
    assert missed <= 1 - CONFIDENCE
    if count > 2 * outside + 2:  # one rank more on each side would miss too often
        assert missed + 2 * math.comb(count, outside) / 2**count > 1 - CONFIDENCE


def test_a_busy_moment_widens_the_interval() -> None:
    """Of as many slow calls, those in one stretch say less than those that are spread."""
    draw = np.random.default_rng(0)
    spread = draw.permutation(np.r_[np.full(6_000, 100), np.full(4_000, 200)]) * 1000
    together = Times(np.r_[np.full(6_000, 100), np.full(4_000, 200)] * 1000)
    assert Times(spread).tightness < 0.01 < together.tightness
