"""Ratios of two reports, and verdicts only where the intervals part."""

from __future__ import annotations

from typing import Any

import pytest

from treadle.bench.comparing import SCHEMA, compare
from treadle.errors import InputError


def report(*medians: tuple[str, int, float, float]) -> dict[str, Any]:
    """Scenario, rows, median and half its interval in microseconds."""
    scenarios = [
        {
            "scenario": name,
            "parameters": {"rows": rows},
            "p50_us": median,
            "interval_us": [median - half, median + half],
        }
        for name, rows, median, half in medians
    ]
    return {"schema": SCHEMA, "scenarios": scenarios}


@pytest.mark.parametrize(
    ("second", "verdict"),
    [
        (("step", 1, 80.0, 5.0), "faster"),
        (("step", 1, 93.0, 5.0), "no difference shown"),
        (("step", 1, 130.0, 5.0), "slower"),
        (("step", 1, 104.0, 1.0), "no difference shown"),
    ],
)
def test_a_verdict_needs_intervals_that_part(
    second: tuple[str, int, float, float], verdict: str
) -> None:
    first = ("step", 1, 100.0, 5.0)
    [ratio] = compare(report(first, ("chunk", 1, 1.0, 0.1)), report(second, ("step", 8, 1.0, 0.1)))
    assert ratio.verdict == verdict == ratio.to_json()["verdict"]
    assert ratio.scenario == "step (rows 1)"
    assert ratio.ratio == pytest.approx(second[2] / 100)
    assert ratio.low == pytest.approx((second[2] - second[3]) / 105)
    assert ratio.high == pytest.approx((second[2] + second[3]) / 95)


def test_the_other_way_round_the_verdict_turns() -> None:
    one, other = report(("step", 1, 100.0, 5.0)), report(("step", 1, 80.0, 5.0))
    assert [compare(a, b)[0].verdict for a, b in ((one, other), (other, one))] == [
        "faster",
        "slower",
    ]
    assert compare(one, one)[0].verdict == "no difference shown"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"schema": "x"}, "expected a report of `treadle bench --json`, schema .*, got one of 'x'"),
        ([], "expected a report of `treadle bench --json`"),
        (
            report(("step", 8, 1.0, 0.1)),
            "a scenario in common, got step \\(rows 1\\) and step \\(rows 8\\)",
        ),
        (report(), "a scenario in common, got step \\(rows 1\\) and none"),
    ],
)
def test_what_cannot_be_compared_is_refused(wrong: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        compare(report(("step", 1, 100.0, 5.0)), wrong)
