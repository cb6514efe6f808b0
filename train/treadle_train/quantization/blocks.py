"""Rounding of weights in blocks of few bits: the one arithmetic of training and export.

A block is `block_size` consecutive inputs of one output channel; it has one scale.
Shapes: K inputs, N outputs, C = ceil(K / block_size) blocks, R rows of one block. Everything is
computed in float64.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

BLOCKS = {
    "int8-block": (8, 32),
    "int8-fast": (8, 128),
    "int4": (4, 32),
    "int4-fast": (4, 128),
}
"""Bits and block size of the precisions that keep weights in blocks."""

LOOKUP_BITS = 16
"""Of a table that holds the product of an embedding and its first weights."""

TABLE_LEVELS = 127
"""Largest magnitude of the integers that an embedding is stored in, one scale a row."""

_GRID = 24
_REACH = 1.5  # levels: how far beyond, and how far inside the range a scale may put the largest


def folds(vocabulary_size: int, embedding_size: int, bits: int) -> bool:
    """Whether a table of products is no larger than the weights in `bits` bits would be."""
    return LOOKUP_BITS * vocabulary_size <= bits * embedding_size


def nearest_levels(w: Floats, scale: Floats, bits: int) -> Floats:
    """Integers from -2^(bits-1) to below 2^(bits-1), nearest to w / scale; ties go to even."""
    half = 2 ** (bits - 1)
    levels: Floats = np.clip(np.rint(w / scale), -half, half - 1)
    return levels


def levels_in_blocks(
    weights: NDArray[np.float32], scales: NDArray[np.float32], *, bits: int, block_size: int
) -> NDArray[np.int8]:
    """Levels int8 [K, N] of weights [K, N] under the scales [C, N] of their blocks."""
    spread = np.repeat(scales, block_size, axis=0)[: len(weights)]
    return nearest_levels(weights.astype(np.float64), spread.astype(np.float64), bits).astype(
        np.int8
    )


def search_scales(
    weights: NDArray[np.float32], *, bits: int, block_size: int
) -> NDArray[np.float32]:
    """The best scale of each block, float32 [C, N], for weights [K, N] that round to nearest."""
    w = weights.astype(np.float64)
    blocks = [w[first : first + block_size] for first in range(0, len(w), block_size)]
    found = [best_scale(block, np.ones(len(block)), bits) for block in blocks]
    return np.array(found, np.float32)


def best_scale(block: Floats, cost: Floats, bits: int) -> Floats:
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
        error = cost @ (block - nearest_levels(block, scale, bits) * scale) ** 2
        better = error < least
        best, least = np.where(better, scale, best), np.where(better, error, least)
    return best
