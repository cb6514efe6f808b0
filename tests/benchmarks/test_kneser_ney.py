"""Kneser-Ney sums to one, and knows what counts alone can know."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.quality.kneser_ney import START, KneserNey

SEQUENCES = st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=12), min_size=1, max_size=5)


@given(SEQUENCES, st.integers(1, 4), st.lists(st.integers(-1, 3), min_size=3, max_size=3))
def test_chances_after_any_context_sum_to_one(
    sequences: list[list[int]], order: int, context: list[int]
) -> None:
    model = KneserNey(sequences, order, 4)
    before = tuple(context[3 - (order - 1) :])
    chances = [model.probability(before, symbol) for symbol in range(4)]
    assert sum(chances) == pytest.approx(1)
    assert min(chances) > 0


def test_a_bigram_by_hand() -> None:
    """a b a c: pairs (start a) (a b) (b a) (a c), each once, so D = 1 and all comes from below.

    Below, a was seen after two different contexts, b and c after one each: D = 2 / (2 + 2·1) = 1/2.
    """
    model = KneserNey([[0, 1, 0, 2]], 2, 3)
    lower = [(2 - 0.5 + 1.5 / 3) / 4, (1 - 0.5 + 1.5 / 3) / 4, (1 - 0.5 + 1.5 / 3) / 4]
    assert [model.probability((0,), s) for s in range(3)] == pytest.approx(lower)
    assert [model.probability((START,), s) for s in range(3)] == pytest.approx(lower)


def test_longer_contexts_tell_more_of_what_repeats() -> None:
    """Two symbols back decide the next: a bigram cannot see it, a trigram can."""
    text = [0, 0, 1, 1] * 50
    means = [KneserNey([text], order, 2).nats(text).mean() for order in (1, 2, 3)]
    assert means[0] == pytest.approx(np.log(2), abs=0.02)
    assert means[1] == pytest.approx(np.log(2), abs=0.03)
    assert means[2] < 0.1


@pytest.mark.parametrize(
    ("sequences", "order", "size"), [([[0]], 0, 1), ([[2]], 2, 2), ([[-1]], 2, 2), ([[]], 1, 1)]
)
def test_impossible_ones_are_refused(sequences: list[list[int]], order: int, size: int) -> None:
    with pytest.raises(ValueError, match="expected"):
        KneserNey(sequences, order, size)
