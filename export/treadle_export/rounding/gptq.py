"""Rounding of weights to few bits in blocks, so that what a product gives moves least.

Without inputs each weight goes to the nearest level. With them, the error of each rounded row is
made good by the rows that are not rounded yet (Frantar, Ashkboos, Hoefler & Alistarh, "GPTQ:
Accurate post-training quantization for generative pre-trained transformers", 2022, after the
Optimal Brain Surgeon of Hassibi & Stork, 1993): it minimizes |X W - X Q|², and knows X by its Gram
matrix X^T X alone.

Shapes: K inputs, N outputs. Everything is computed in float64.
"""

import numpy as np
from numpy.typing import NDArray

from treadle.errors import ExportError
from treadle_export.rounding.blocks import BlockWeights
from treadle_train.quantization.blocks import (
    BlockForm,
    Floats,
    best_scale,
    levels_in_blocks,
    nearest_levels,
    search_scales,
    search_unit,
)

DAMPING = 0.01
"""Share of the mean square of the inputs that is added to each: few samples say too much."""


def round_to_nearest(weights: NDArray[np.float32], form: BlockForm) -> BlockWeights:
    """Weights float32 [K, N] to the nearest levels, with the best scale for each block.

    Raises:
        ExportError: `bits` is neither 4 nor 8, or `block_size` is no power of two from 16 on.
    """
    _check(form)
    return round_with_scales(weights, search_scales(weights, form), form)


def round_with_scales(
    weights: NDArray[np.float32], scales: NDArray[np.float32], form: BlockForm
) -> BlockWeights:
    """Weights float32 [K, N] to the nearest levels under given scales [C, N]; errors as above."""
    _check(form)
    return BlockWeights(levels_in_blocks(weights, scales, form), scales, form)


def round_compensated(
    weights: NDArray[np.float32], gram: Floats, form: BlockForm, *, damping: float = DAMPING
) -> BlockWeights:
    """Weights float32 [K, N] to levels, each row's error made good by the rows after it.

    Args:
        weights: the matrix that inputs [..., K] are multiplied with from the left.
        gram: X^T X [K, K] of those inputs; its scale does not matter.
        form: of 4 or 8 bits, in blocks of a power of two from 16 on.
        damping: share of the mean of the diagonal that is added to it.

    Raises:
        ExportError: the Gram matrix does not fit the weights or is not finite, or `form`
            is none of those.
    """
    _check(form)
    _check_gram(weights, gram)
    if not gram.any():  # these weights never meet anything but zeros
        return round_to_nearest(weights, form)
    w, block_size = weights.astype(np.float64), form.block_size
    inverse = _inverse_factor(gram, damping)
    # What rounding a row costs after the rows behind it have made good what they can.
    cost = 1 / np.diag(inverse) ** 2
    unit = search_unit(w, cost, form)
    levels = np.empty(w.shape, np.int8)
    scales = np.empty((-(-len(w) // block_size), w.shape[1]))
    for index, first in enumerate(range(0, len(w), block_size)):
        end = min(first + block_size, len(w))
        scales[index] = best_scale(w[first:end], cost[first:end], form, unit)
        errors = np.empty((end - first, w.shape[1]))
        for row in range(first, end):
            levels[row] = nearest_levels(w[row], scales[index], form.bits)
            errors[row - first] = (w[row] - levels[row] * scales[index]) / inverse[row, row]
            w[row + 1 : end] -= inverse[row, row + 1 : end, None] * errors[row - first]
        w[end:] -= inverse[first:end, end:].T @ errors
    return BlockWeights(levels, scales.astype(np.float32), form)


def _check(form: BlockForm) -> None:
    bits, block_size, _ = form
    if bits not in (4, 8) or block_size < 16 or block_size & (block_size - 1):
        raise ExportError(
            f"expected 4 or 8 bits and blocks of a power of two from 16 on, got {bits} bits and "
            f"blocks of {block_size}; MatMulNBits knows no others"
        )


def _check_gram(weights: NDArray[np.float32], gram: Floats) -> None:
    inputs = len(weights)
    if gram.shape != (inputs, inputs) or not np.isfinite(gram).all():
        raise ExportError(
            f"expected a finite Gram matrix [{inputs}, {inputs}] of what meets weights "
            f"{list(weights.shape)}, got the shape {list(gram.shape)}"
            f"{'' if np.isfinite(gram).all() else ' with values that are not finite'}; "
            f"calibrate with the model that is exported"
        )


def _inverse_factor(gram: Floats, damping: float) -> Floats:
    """The upper triangular U with U^T U = (gram + damping)^-1.

    From the other end, gram = R R^T with R upper triangular; then U = R^-1, and the badly
    conditioned inverse itself is never formed.
    """
    damped = gram / np.diag(gram).mean() + damping * np.eye(len(gram))
    factor = np.linalg.cholesky(damped[::-1, ::-1])[::-1, ::-1]
    return np.triu(np.linalg.inv(factor))
