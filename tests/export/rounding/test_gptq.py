"""Rounding to few bits: the nearest level, the signed scale, and the compensation of errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from treadle.errors import ExportError
from treadle_export.rounding.gptq import DAMPING, round_compensated, round_to_nearest
from treadle_export.rounding.matrices import Rounding
from treadle_train.quantization.blocks import BlockForm

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from treadle_export.rounding.blocks import BlockWeights

SEEDS = st.integers(0, 2**32 - 1)


def gaussian(inputs: int, outputs: int, seed: int) -> NDArray[np.float32]:
    random = np.random.default_rng(seed)
    return random.normal(size=(inputs, outputs)).astype(np.float32)


def correlated(inputs: int, seed: int, samples: int = 400) -> NDArray[np.float64]:
    """X^T X of inputs that a few hidden causes move together, as a layer's are."""
    random = np.random.default_rng(seed)
    causes = random.normal(size=(samples, max(2, inputs // 4)))
    x = causes @ random.normal(size=(causes.shape[1], inputs))
    x += 0.3 * random.normal(size=x.shape)
    return x.T @ x


def loss(weights: NDArray[np.float32], blocks: BlockWeights, gram: NDArray[np.float64]) -> float:
    """|X W - X Q|², by X^T X."""
    error = weights.astype(np.float64) - blocks.dequantized()
    return float(np.einsum("kn,kl,ln->", error, gram, error))


@given(inputs=st.integers(1, 100), outputs=st.integers(1, 9), seed=SEEDS)
def test_no_weight_is_further_from_its_level_than_the_plain_scale_allows(
    inputs: int, outputs: int, seed: int
) -> None:
    weights = gaussian(inputs, outputs, seed)
    blocks = round_to_nearest(weights, BlockForm(4, 32))
    assert blocks.levels.min() >= -8
    assert blocks.levels.max() <= 7
    error = weights - blocks.dequantized()
    for first in range(0, inputs, 32):
        part = slice(first, first + 32)
        scale = np.abs(weights[part]).max(axis=0) / 7  # symmetric, as it is done without a search
        plain = weights[part] - np.rint(weights[part] / scale) * scale
        assert ((error[part] ** 2).sum(axis=0) <= (plain**2).sum(axis=0) * 1.001).all()


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_the_side_with_the_larger_magnitude_gets_the_extra_level(sign: float) -> None:
    weights = (np.float32(sign / 4) * np.arange(-8, 8, dtype=np.float32))[:, None]
    blocks = round_to_nearest(weights, BlockForm(4, 16))
    np.testing.assert_array_equal(blocks.dequantized(), weights)
    assert blocks.scales[0, 0] == sign / 4


def test_zeros_stay_zeros() -> None:
    blocks = round_to_nearest(np.zeros((40, 3), np.float32), BlockForm(4, 32))
    assert not blocks.levels.any()
    assert (blocks.scales == 1).all()


@given(inputs=st.integers(24, 120), outputs=st.integers(1, 12), seed=SEEDS)
def test_compensation_beats_rounding_where_inputs_are_correlated(
    inputs: int, outputs: int, seed: int
) -> None:
    weights, gram = gaussian(inputs, outputs, seed), correlated(inputs, seed)
    nearest = loss(weights, round_to_nearest(weights, BlockForm(4, 32)), gram)
    compensated = loss(weights, round_compensated(weights, gram, BlockForm(4, 32)), gram)
    assert compensated < nearest


def test_compensation_halves_the_loss_of_rounding() -> None:
    ratios = []
    for seed in range(10):
        weights, gram = gaussian(128, 64, seed), correlated(128, seed)
        nearest = loss(weights, round_to_nearest(weights, BlockForm(4, 32)), gram)
        compensated = round_compensated(weights, gram, BlockForm(4, 32))
        ratios.append(loss(weights, compensated, gram) / nearest)
    assert np.mean(ratios) < 0.5


@given(inputs=st.integers(1, 80), seed=SEEDS)
def test_independent_inputs_leave_nothing_to_compensate(inputs: int, seed: int) -> None:
    weights = gaussian(inputs, 5, seed)
    nearest = round_to_nearest(weights, BlockForm(4, 32))
    compensated = round_compensated(weights, np.eye(inputs), BlockForm(4, 32))
    np.testing.assert_array_equal(compensated.levels, nearest.levels)
    np.testing.assert_array_equal(compensated.scales, nearest.scales)


@settings(max_examples=20)
@given(inputs=st.integers(2, 40), seed=SEEDS)
def test_levels_are_those_of_optimal_brain_surgery(inputs: int, seed: int) -> None:
    """Row by row after Hassibi & Stork: the inverse is taken anew of the rows that are left."""
    weights, gram = gaussian(inputs, 4, seed), correlated(inputs, seed)
    blocks = round_compensated(weights, gram, BlockForm(4, 32))
    damped = gram / np.diag(gram).mean() + DAMPING * np.eye(inputs)
    w = weights.astype(np.float64)
    for row in range(inputs):
        inverse = np.linalg.inv(damped[row:, row:])
        scale = blocks.scales[row // 32].astype(np.float64)
        level = np.clip(np.rint(w[row] / scale), -8, 7)
        np.testing.assert_array_equal(blocks.levels[row], level)
        error = (w[row] - level * scale) / inverse[0, 0]
        w[row:] -= inverse[:, :1] * error


def test_the_number_of_samples_does_not_matter() -> None:
    weights, gram = gaussian(48, 8, 1), correlated(48, 1)
    once = round_compensated(weights, gram, BlockForm(4, 16))
    often = round_compensated(weights, 1024 * gram, BlockForm(4, 16))
    np.testing.assert_array_equal(once.levels, often.levels)


def test_inputs_that_are_always_zero_need_no_care() -> None:
    weights = gaussian(40, 6, 2)
    silent = round_compensated(weights, np.zeros((40, 40)), BlockForm(4, 32))
    nearest = round_to_nearest(weights, BlockForm(4, 32))
    np.testing.assert_array_equal(silent.levels, nearest.levels)
    gram = correlated(40, 2)
    gram[7], gram[:, 7] = 0, 0
    assert np.isfinite(round_compensated(weights, gram, BlockForm(4, 32)).dequantized()).all()


@pytest.mark.parametrize(
    ("gram", "words"),
    [
        (np.eye(5), r"a finite Gram matrix \[6, 6\] .* got the shape \[5, 5\]"),
        (np.full((6, 6), np.nan), "with values that are not finite; calibrate with the model"),
    ],
)
def test_a_gram_matrix_that_does_not_fit_is_an_error(gram: NDArray[np.float64], words: str) -> None:
    with pytest.raises(ExportError, match=words):
        round_compensated(gaussian(6, 2, 0), gram, BlockForm(4, 32))


@pytest.mark.parametrize(("bits", "block_size"), [(3, 32), (4, 24), (4, 8)])
def test_what_the_operator_does_not_know_is_an_error(bits: int, block_size: int) -> None:
    with pytest.raises(ExportError, match="expected 4 or 8 bits and blocks of a power of two"):
        round_to_nearest(gaussian(6, 2, 0), BlockForm(bits, block_size))


def test_a_matrix_is_rounded_once_for_all_graphs() -> None:
    weights = gaussian(40, 6, 5)
    rounding = Rounding({"output": correlated(40, 5)})
    first = rounding("output", weights, BlockForm(4, 32))
    assert rounding("output", weights.copy(), BlockForm(4, 32)) is first
    assert rounding("output", weights + 1, BlockForm(4, 32)) is not first
    assert rounding("output", weights, BlockForm(8, 32)) is not first


def test_weights_that_no_calibration_met_are_an_error() -> None:
    rounding = Rounding({"output": np.eye(6)})
    with pytest.raises(ExportError, match=r"got no inputs for 'mix' \(of output\)"):
        rounding("mix", gaussian(6, 2, 0), BlockForm(4, 32))
    assert rounding("mix", gaussian(6, 2, 0), BlockForm(8, 32)).form.bits == 8
