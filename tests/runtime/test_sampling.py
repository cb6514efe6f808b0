"""Sampling: which symbols are kept, how one is drawn, and that a seed fixes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from treadle.decoding import Sampler, uniform
from treadle.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

LOGITS = arrays(
    np.float32,
    st.tuples(st.integers(1, 5), st.integers(1, 12)),
    elements=st.floats(-30, 30, width=32),
)


def logits_of(*probabilities: float) -> NDArray[np.float32]:
    return np.log(np.array(probabilities, dtype=np.float32))[None]


def test_temperature_divides_the_logits() -> None:
    weights = Sampler(temperature=0.5).weights(logits_of(0.2, 0.3, 0.5))
    expected = np.array([[0.04, 0.09, 0.25]]) / 0.38
    np.testing.assert_allclose(weights, expected, rtol=1e-6)


def test_top_k_keeps_the_lower_ids_among_equals() -> None:
    weights = Sampler(top_k=2).weights(logits_of(0.1, 0.3, 0.3, 0.3))
    assert (weights > 0).tolist() == [[False, True, True, False]]


@pytest.mark.parametrize(
    ("top_p", "kept"),
    [(0.49, [1]), (0.51, [1, 3]), (0.75, [1, 3]), (0.85, [0, 1, 3]), (1.0, [0, 1, 2, 3])],
)
def test_top_p_keeps_the_fewest_that_hold_the_share(top_p: float, kept: list[int]) -> None:
    weights = Sampler(top_p=top_p).weights(logits_of(0.125, 0.5, 0.0625, 0.3125))
    assert np.flatnonzero(weights[0]).tolist() == kept


def test_top_p_is_taken_of_what_top_k_left() -> None:
    weights = Sampler(top_k=2, top_p=0.6).weights(logits_of(0.4, 0.3, 0.3))
    assert np.flatnonzero(weights[0]).tolist() == [0, 1]
    assert np.flatnonzero(Sampler(top_k=2, top_p=0.55).weights(logits_of(0.4, 0.3, 0.3))[0]) == [0]


def test_temperature_zero_is_greedy_with_the_lowest_id() -> None:
    drawn = Sampler(temperature=0.0).draw(np.array([[1, 3, 3], [2, 0, 1]], dtype=np.float32), 9)
    assert drawn.tolist() == [1, 0]


def test_a_vanishing_temperature_does_not_overflow() -> None:
    assert Sampler(temperature=1e-320).draw(np.array([[-3e38, 3e38]], np.float32), 0) == [1]


@given(logits=LOGITS, seed=st.integers(0, 2**64 - 1), step=st.integers(0, 1000))
def test_the_draw_is_the_inverse_cdf_in_id_order(
    logits: NDArray[np.float32], seed: int, step: int
) -> None:
    sampler = Sampler(temperature=0.7, top_k=5, top_p=0.9, seed=seed)
    drawn = sampler.draw(logits, step)
    weights = sampler.weights(logits)
    for row, symbol in enumerate(drawn):
        target = uniform(seed, [row], step)[0] * weights[row].cumsum()[-1]
        assert weights[row, symbol] > 0
        assert weights[row, :symbol].sum() <= np.nextafter(target, np.inf)
        below = weights[row].cumsum()
        assert below[symbol] > target
        assert symbol == 0 or below[symbol - 1] <= target


@given(logits=LOGITS, seed=st.integers(0, 2**32))
def test_row_zero_draws_the_same_alone_and_in_a_batch(
    logits: NDArray[np.float32], seed: int
) -> None:
    sampler = Sampler(seed=seed)
    assert sampler.draw(logits, 3)[0] == sampler.draw(logits[:1], 3)[0]


def test_frequencies_follow_the_probabilities() -> None:
    logits = np.repeat(logits_of(0.1, 0.2, 0.7), 500, axis=0)
    drawn = np.concatenate([Sampler(seed=1).draw(logits, step) for step in range(8)])
    frequencies = np.bincount(drawn, minlength=3) / len(drawn)
    np.testing.assert_allclose(frequencies, [0.1, 0.2, 0.7], atol=0.025)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"temperature": -1.0}, "temperature should be 0 or more, got -1.0"),
        ({"temperature": float("nan")}, "temperature should be 0 or more, got nan"),
        ({"top_k": 0}, "top_k should be at least 1, got 0"),
        ({"top_p": 0.0}, "top_p should be above 0 and at most 1, got 0.0"),
        ({"top_p": 1.5}, "top_p should be above 0 and at most 1, got 1.5"),
        ({"seed": -1}, "seed should be from 0 to"),
    ],
)
def test_values_that_make_no_sense(wrong: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Sampler(**wrong)  # type: ignore[arg-type]
