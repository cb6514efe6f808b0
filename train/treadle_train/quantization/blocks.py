"""Rounding of weights in blocks of few bits: the one arithmetic of training and export.

A block is `block_size` consecutive inputs of one output channel; it has one scale.
Shapes: K inputs, N outputs, C = ceil(K / block_size) blocks, R rows of one block. Everything is
computed in float64.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class BlockForm(NamedTuple):
    """How weights are kept: bits of a level, inputs of a channel that share a scale, and multiples.

    multiples: 0 where a scale may be any number. Otherwise it is a whole multiple of its channel's
    unit, up to so many times as large, of either sign: levels times multiples are integers then, to
    which one scale a channel belongs.
    """

    bits: int
    block_size: int
    multiples: int = 0


BLOCKS = {
    "int8-block": BlockForm(8, 32),
    "int8-fast": BlockForm(8, 128),
    "int4": BlockForm(4, 16, 7),
    "int4-block": BlockForm(4, 32),
    "int4-fast": BlockForm(4, 128),
}
"""The forms of the precisions that keep weights in blocks."""

LOOKUP_BITS = 16
"""Of a table that holds the product of an embedding and its first weights."""

TABLE_LEVELS = 127
"""Largest magnitude of the integers that an embedding is stored in, one scale a row."""

_GRID = 24
_REACH = 1.5  # levels: how far beyond, and how far inside the range a scale may put the largest
_SHARES = np.linspace(0.7, 1.1, 9)  # of the unit that puts a channel's largest on the last level


def folds(vocabulary_size: int, embedding_size: int, bits: int) -> bool:
    """Whether a table of products is no larger than the weights in `bits` bits would be."""
    return LOOKUP_BITS * vocabulary_size <= bits * embedding_size


def nearest_levels(w: Floats, scale: Floats, bits: int) -> Floats:
    """Integers from -2^(bits-1) to below 2^(bits-1), nearest to w / scale; ties go to even."""
    half = 2 ** (bits - 1)
    levels: Floats = np.clip(np.rint(w / scale), -half, half - 1)
    return levels


def levels_in_blocks(
    weights: NDArray[np.float32], scales: NDArray[np.float32], form: BlockForm
) -> NDArray[np.int8]:
    """Levels int8 [K, N] of weights [K, N] under the scales [C, N] of their blocks."""
    spread = np.repeat(scales, form.block_size, axis=0)[: len(weights)]
    levels = nearest_levels(weights.astype(np.float64), spread.astype(np.float64), form.bits)
    return levels.astype(np.int8)


def search_scales(weights: NDArray[np.float32], form: BlockForm) -> NDArray[np.float32]:
    """The best scale of each block, float32 [C, N], for weights [K, N] that round to nearest."""
    w, cost = weights.astype(np.float64), np.ones(len(weights))
    unit = search_unit(w, cost, form)
    found = [best_scale(*block, form, unit) for block in _blocks(w, cost, form)]
    return np.array(found, np.float32)


def search_unit(w: Floats, cost: Floats, form: BlockForm) -> Floats | None:
    """The unit [N] of each channel of w [K, N] with the least error, weighed by cost [K].

    It has 16 significant bits, so that it is exact in float32 how often so ever it is taken. None
    where scales are no multiples.
    """
    if not form.multiples:
        return None
    largest = np.abs(w).max(axis=0) / ((2 ** (form.bits - 1) - 0.5) * form.multiples)
    best: Floats = np.ones_like(largest)
    least: Floats = np.full_like(largest, np.inf)
    for share in _SHARES:
        short = (share * largest).astype(np.float32).view(np.uint32) & np.uint32(0xFFFFFF00)
        unit = short.view(np.float32).astype(np.float64)
        unit[unit == 0] = 1
        error = np.zeros_like(largest)
        for block, its in _blocks(w, cost, form):
            error += _least_error(block, its, form.bits, _multiples(block, form, unit))[1]
        better = error < least
        best, least = np.where(better, unit, best), np.where(better, error, least)
    return best


def best_scale(block: Floats, cost: Floats, form: BlockForm, unit: Floats | None = None) -> Floats:
    """The scale [N] of each column of a block [R, N] with the least error, weighed by cost [R].

    unit: of which it is a multiple, where the form asks for that.
    """
    scales = _any_scales(block, form.bits) if unit is None else _multiples(block, form, unit)
    return _least_error(block, cost, form.bits, scales)[0]


def _any_scales(block: Floats, bits: int) -> Iterator[Floats]:
    """Scales [N] to try for each column of a block.

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
    for divisor in np.concatenate([reach, -reach]):
        # As it will be stored, so that its error is the one that is weighed.
        scale = (largest / divisor).astype(np.float32).astype(np.float64)
        scale[scale == 0] = 1
        yield scale


def _multiples(block: Floats, form: BlockForm, unit: Floats) -> Iterator[Floats]:
    """The same as whole multiples of a unit [N]: the next ones on both sides, of both signs."""
    half = 2 ** (form.bits - 1)
    near = np.rint(np.abs(block).max(axis=0) / (unit * (half - 0.5)))
    for beside in (-1, 0, 1):
        scale = np.clip(near + beside, 1, form.multiples) * unit
        yield scale
        yield -scale


def _least_error(
    block: Floats, cost: Floats, bits: int, scales: Iterator[Floats]
) -> tuple[Floats, Floats]:
    """The best of the scales [N] for each column of a block [R, N], and the errors that it has."""
    best, least = np.ones(block.shape[1]), np.full(block.shape[1], np.inf)
    for scale in scales:
        error = cost @ (block - nearest_levels(block, scale, bits) * scale) ** 2
        better = error < least
        best, least = np.where(better, scale, best), np.where(better, error, least)
    return best, least


def _blocks(w: Floats, cost: Floats, form: BlockForm) -> Iterator[tuple[Floats, Floats]]:
    """Each block [R, N] of w [K, N] with the costs [R] of its rows."""
    for first in range(0, len(w), form.block_size):
        rows = slice(first, first + form.block_size)
        yield w[rows], cost[rows]
