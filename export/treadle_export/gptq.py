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
from treadle_export.blocks import BlockWeights

Floats = NDArray[np.float64]

DAMPING = 0.01
"""Share of the mean square of the inputs that is added to each: few samples say too much."""

_GRID = 24
_REACH = 1.5  # levels: how far beyond, and how far inside the range a scale may put the largest


def round_to_nearest(weights: NDArray[np.float32], *, bits: int, block_size: int) -> BlockWeights:
    """Weights float32 [K, N] to the nearest levels, with the best scale for each block.

    Raises:
        ExportError: `bits` is neither 4 nor 8, or `block_size` is no power of two from 16 on.
    """
    _check(bits, block_size)
    w = weights.astype(np.float64)
    levels = np.empty(w.shape, np.int8)
    scales = np.empty((-(-len(w) // block_size), w.shape[1]))
    for index, first in enumerate(range(0, len(w), block_size)):
        block = w[first : first + block_size]
        scales[index] = _scales(block, np.ones(len(block)), bits)
        levels[first : first + block_size] = _levels(block, scales[index], bits)
    return BlockWeights(levels, scales.astype(np.float32), bits, block_size)


def round_compensated(
    weights: NDArray[np.float32],
    gram: Floats,
    *,
    bits: int,
    block_size: int,
    damping: float = DAMPING,
) -> BlockWeights:
    """Weights float32 [K, N] to levels, each row's error made good by the rows after it.

    Args:
        weights: the matrix that inputs [..., K] are multiplied with from the left.
        gram: X^T X [K, K] of those inputs; its scale does not matter.
        bits: 4 or 8.
        block_size: rows that share a scale, a power of two from 16 on.
        damping: share of the mean of the diagonal that is added to it.

    Raises:
        ExportError: the Gram matrix does not fit the weights or is not finite, or `bits` or
            `block_size` is none of those.
    """
    _check(bits, block_size)
    _check_gram(weights, gram)
    if not gram.any():  # these weights never meet anything but zeros
        return round_to_nearest(weights, bits=bits, block_size=block_size)
    w = weights.astype(np.float64)
    inverse = _inverse_factor(gram, damping)
    # What rounding a row costs after the rows behind it have made good what they can.
    cost = 1 / np.diag(inverse) ** 2
    levels = np.empty(w.shape, np.int8)
    scales = np.empty((-(-len(w) // block_size), w.shape[1]))
    for index, first in enumerate(range(0, len(w), block_size)):
        end = min(first + block_size, len(w))
        scales[index] = _scales(w[first:end], cost[first:end], bits)
        errors = np.empty((end - first, w.shape[1]))
        for row in range(first, end):
            levels[row] = _levels(w[row], scales[index], bits)
            errors[row - first] = (w[row] - levels[row] * scales[index]) / inverse[row, row]
            w[row + 1 : end] -= inverse[row, row + 1 : end, None] * errors[row - first]
        w[end:] -= inverse[first:end, end:].T @ errors
    return BlockWeights(levels, scales.astype(np.float32), bits, block_size)


def _check(bits: int, block_size: int) -> None:
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


def _levels(w: Floats, scale: Floats, bits: int) -> Floats:
    half = 2 ** (bits - 1)
    levels: Floats = np.clip(np.rint(w / scale), -half, half - 1)
    return levels


def _scales(block: Floats, cost: Floats, bits: int) -> Floats:
    """The scale [N] of each column of a block [R, N] with the least error, weighed by cost [R].

    There is one level more below zero than above it. A negative scale lets it serve the side with
    the larger magnitude, so scales of both signs are tried, each around the one that puts the
    largest magnitude on the last level.
    """
    half = 2 ** (bits - 1)
    largest = np.take_along_axis(block, np.abs(block).argmax(axis=0)[None], axis=0)[0]
    # Among 256 levels one more or less, or a finer search, is nothing that a model would feel.
    reach = np.array([half - 1.0])
    if bits == 4:
        reach = np.linspace(half - _REACH, half + _REACH, _GRID + 1)
    best: Floats = np.ones_like(largest)
    least: Floats = np.full_like(largest, np.inf)
    for divisor in np.concatenate([reach, -reach]):
        # As it will be stored, so that its error is the one that is weighed.
        scale = (largest / divisor).astype(np.float32).astype(np.float64)
        scale[scale == 0] = 1
        error = cost @ (block - _levels(block, scale, bits) * scale) ** 2
        better = error < least
        best, least = np.where(better, scale, best), np.where(better, error, least)
    return best
