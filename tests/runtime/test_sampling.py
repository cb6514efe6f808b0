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


@pytest.mark.parametrize(
    ("min_p", "kept"), [(0.0, [0, 1, 2, 3]), (0.2, [0, 1, 3]), (0.3, [1, 3]), (1.0, [1])]
)
def test_min_p_keeps_what_is_so_many_times_the_largest(min_p: float, kept: list[int]) -> None:
    weights = Sampler(min_p=min_p).weights(logits_of(0.125, 0.5, 0.0625, 0.3125))
    assert np.flatnonzero(weights[0]).tolist() == kept


def test_min_p_looks_at_the_probabilities_after_the_temperature() -> None:
    logits = logits_of(0.2, 0.8)
    assert np.flatnonzero(Sampler(temperature=1.0, min_p=0.3).weights(logits)) == [1]
    hot = Sampler(temperature=2.0, min_p=0.3).weights(logits)
    assert np.flatnonzero(hot).tolist() == [0, 1]


def reference_weights(logits: NDArray[np.float64], sampler: Sampler) -> NDArray[np.float64]:
    """One row, as the documentation of Sampler orders it, symbol by symbol."""
    scaled = np.exp((logits - logits.max()) / sampler.temperature)
    weights = scaled / scaled.sum()
    likeliest = sorted(range(len(weights)), key=lambda i: (-weights[i], i))
    if sampler.top_k is not None:
        likeliest = likeliest[: sampler.top_k]
    if sampler.top_p is not None:
        total = np.cumsum([weights[i] for i in likeliest])[-1]
        held, nucleus = 0.0, []
        for i in likeliest:
            nucleus.append(i)
            held += weights[i]
            if held >= sampler.top_p * total:
                break
        likeliest = nucleus
    if sampler.min_p is not None:
        likeliest = [i for i in likeliest if weights[i] >= sampler.min_p * weights.max()]
    kept = np.zeros(len(weights))
    kept[likeliest] = weights[likeliest]
    return kept


@given(
    logits=LOGITS,
    temperature=st.floats(0.1, 4),
    top_k=st.none() | st.integers(1, 12),
    top_p=st.none() | st.floats(0.05, 0.99),
    min_p=st.none() | st.floats(0.0, 1.0),
    penalty=st.sampled_from([1.0, 0.5, 1.2, 3.0]),
    seed=st.integers(0, 2**64 - 1),
    data=st.data(),
)
def test_a_draw_is_what_the_order_of_operations_gives(
    logits: NDArray[np.float32],
    temperature: float,
    top_k: int | None,
    top_p: float | None,
    min_p: float | None,
    penalty: float,
    seed: int,
    data: st.DataObject,
) -> None:
    made = data.draw(arrays(np.bool_, logits.shape))
    allowed = data.draw(arrays(np.bool_, logits.shape))
    allowed[:, -1] |= ~allowed.any(axis=-1)
    sampler = Sampler(temperature, top_k, top_p, seed, min_p, penalty)
    drawn = sampler.draw(logits, 7, made=made, allowed=allowed)
    for row, symbol in enumerate(drawn.tolist()):
        penalized = [
            (float(x) / penalty if x > 0 else float(x) * penalty) if was else float(x)
            for x, was in zip(logits[row], made[row], strict=True)
        ]
        masked = np.where(allowed[row], np.array(penalized), -np.inf)
        weights = reference_weights(masked, sampler)
        below = weights.cumsum()
        target = uniform(seed, [row], 7)[0] * below[-1]
        assert allowed[row, symbol]
        assert symbol == next(i for i, held in enumerate(below) if held > target)


@given(logits=LOGITS, seed=st.integers(0, 2**32))
def test_new_options_that_are_off_change_no_bit(logits: NDArray[np.float32], seed: int) -> None:
    plain = Sampler(temperature=0.8, top_k=5, top_p=0.9, seed=seed)
    off = Sampler(temperature=0.8, top_k=5, top_p=0.9, seed=seed, min_p=0.0, repetition_penalty=1.0)
    everything = np.ones(logits.shape, dtype=bool)
    drawn = off.draw(logits, 2, made=everything, allowed=everything)
    np.testing.assert_array_equal(plain.draw(logits, 2), drawn)
    np.testing.assert_array_equal(plain.weights(logits), off.weights(logits))


# Drawn before there were min_p, penalties and constraints: [rows, steps] for each set of options.
DRAWN: list[tuple[dict[str, float], list[list[int]]]] = [
    ({}, [[8, 0, 5, 6, 7, 2, 1, 8], [6, 8, 9, 5, 9, 4, 0, 3], [9, 5, 0, 7, 2, 3, 4, 3]]),
    (
        {"top_k": 4},
        [[8, 2, 5, 6, 7, 2, 1, 8], [7, 8, 9, 8, 9, 4, 0, 3], [9, 5, 0, 7, 2, 3, 4, 3]],
    ),
    (
        {"top_p": 0.8},
        [[8, 4, 8, 6, 7, 2, 1, 4], [7, 8, 9, 8, 9, 4, 0, 3], [9, 5, 0, 7, 2, 3, 4, 3]],
    ),
    (
        {"temperature": 1.3, "top_k": 6, "top_p": 0.9},
        [[8, 2, 5, 6, 7, 2, 1, 8], [5, 6, 9, 5, 9, 4, 0, 3], [9, 3, 0, 7, 2, 3, 4, 3]],
    ),
]


@pytest.mark.parametrize(("options", "drawn"), DRAWN)
def test_old_seeds_draw_what_they_always_drew(
    options: dict[str, float], drawn: list[list[int]]
) -> None:
    logits = (((np.arange(33).reshape(3, 11) * 37) % 23 - 11) / 4).astype(np.float32)
    sampler = Sampler(seed=12345, **options)  # type: ignore[arg-type]
    steps = [sampler.draw(np.roll(logits, step, axis=1), step) for step in range(8)]
    assert np.array(steps).T.tolist() == drawn


def test_the_penalty_holds_for_what_a_row_has_made() -> None:
    logits = np.array([[2.0, 1.5, -1.0], [2.0, 1.5, -1.0]], dtype=np.float32)
    made = np.array([[True, False, False], [False, False, True]])
    sampler = Sampler(temperature=0.0, repetition_penalty=2.0)
    assert sampler.draw(logits, 0, made=made).tolist() == [1, 0]
    negative = np.array([[-1.0, -1.5]], dtype=np.float32)
    assert sampler.draw(negative, 0, made=np.array([[True, False]])).tolist() == [1]


@pytest.mark.parametrize("penalty", [1e-300, 1e300])
def test_an_extreme_penalty_still_draws(penalty: float) -> None:
    logits = np.array([[3e38, -3e38, 0.0]], dtype=np.float32)
    sampler = Sampler(repetition_penalty=penalty)
    drawn = sampler.draw(logits, 0, made=np.ones((1, 3), dtype=bool))
    assert drawn[0] in ([0] if penalty < 1 else [0, 2])  # 1e300 leaves 0 and 2 equal


def test_rows_are_numbered_as_asked() -> None:
    logits = np.zeros((2, 50), dtype=np.float32)
    numbered = Sampler(seed=5).draw(logits, 1, rows=[9, 4])
    every = Sampler(seed=5).draw(np.zeros((10, 50), dtype=np.float32), 1)
    assert numbered.tolist() == every[[9, 4]].tolist()


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
        ({"min_p": -0.1}, "min_p should be from 0 to 1, got -0.1"),
        ({"min_p": 1.1}, "min_p should be from 0 to 1, got 1.1"),
        ({"min_p": float("nan")}, "min_p should be from 0 to 1, got nan"),
        ({"repetition_penalty": 0.0}, "repetition_penalty should be above 0, got 0.0; 1 is off"),
        ({"repetition_penalty": float("inf")}, "repetition_penalty should be above 0, got inf"),
    ],
)
def test_values_that_make_no_sense(wrong: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Sampler(**wrong)  # type: ignore[arg-type]
