"""When a rise of the negative log-likelihood counts as over the budget."""

from __future__ import annotations

import math

import numpy as np
import pytest

from treadle.metrics import Rise, paired_rise
from treadle_export.judging.quality import UNDECIDED, exceeds

BUDGET = 0.005


@pytest.mark.parametrize(
    ("rise", "over"),
    [
        (Rise(0.004, 0.003, 0.02), False),  # within, whatever the interval says
        (Rise(0.0062, -0.002, 0.015), False),  # 300 examples: it may as well be nothing
        (Rise(0.0062, 0.0055, 0.0069), True),  # many examples: surely over
        (Rise(0.011, -0.1, 0.12), True),  # more than twice the budget
        (Rise(0.006, -math.inf, math.inf), False),  # too few for an interval
        (Rise(0.02, -math.inf, math.inf), True),
    ],
)
def test_what_is_over_the_budget(rise: Rise, over: bool) -> None:
    assert exceeds(rise, BUDGET) is over


def test_few_examples_do_not_decide_by_chance_and_many_do() -> None:
    random = np.random.default_rng(0)

    def refused(count: int, true_rise: float) -> float:
        """The share of draws in which a model with this true rise is refused."""
        found = []
        for _ in range(100):
            before = random.exponential(0.2, count)
            after = before * (1 + true_rise) + random.normal(0, 0.012, count)
            found.append(exceeds(paired_rise(before, after), BUDGET))
        return float(np.mean(found))

    assert refused(300, 0.004) < 0.15
    assert refused(300, 0.02) > 0.9
    assert refused(20_000, 0.004) == 0
    assert refused(20_000, 0.007) > 0.9
    assert UNDECIDED * BUDGET == 0.01
