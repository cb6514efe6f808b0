"""Weights as integers of few bits in blocks, and how they are laid out in a graph.

A block is `block_size` consecutive inputs of one output channel; it has one scale.
Shapes: K inputs, N outputs, C = ceil(K / block_size) blocks.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from treadle_train.quantization.blocks import BlockForm


@dataclass(frozen=True, slots=True)
class BlockWeights:
    """weights [K, N] = levels * scales; levels lie in [-2^(bits-1), 2^(bits-1)).

    levels: int8 [K, N]; scales: float32 [C, N], which may be negative.
    """

    levels: NDArray[np.int8]
    scales: NDArray[np.float32]
    form: BlockForm

    def dequantized(self) -> NDArray[np.float32]:
        """The weights that the levels stand for, float32 [K, N]."""
        scales = np.repeat(self.scales, self.form.block_size, axis=0)[: len(self.levels)]
        return self.levels.astype(np.float32) * scales

    def packed(self) -> NDArray[np.uint8]:
        """As com.microsoft MatMulNBits reads them: uint8 [N, C, block_size * bits / 8].

        Levels are around the middle, the first lowest. The last block is filled up with zeros.
        """
        bits, count = self.form.bits, len(self.scales)
        padded = self.in_blocks().reshape(count * self.form.block_size, -1).T.astype(np.int16)
        unsigned = (padded + 2 ** (bits - 1)).astype(np.uint8)
        if bits == 4:
            unsigned = unsigned[:, 0::2] | (unsigned[:, 1::2] << 4)
        packed: NDArray[np.uint8] = unsigned.reshape(len(padded), count, -1)
        return packed

    def packed_scales(self) -> NDArray[np.float32]:
        """Float32 [N * C], the scales of one output channel after another."""
        return np.ascontiguousarray(self.scales.T).reshape(-1)

    def in_blocks(self) -> NDArray[np.int8]:
        """The levels, int8 [C, block_size, N]; the last block is filled up with zeros."""
        inputs, outputs = self.levels.shape
        count, size = len(self.scales), self.form.block_size
        padded = np.zeros((count * size, outputs), np.int8)
        padded[:inputs] = self.levels
        return padded.reshape(count, size, outputs)

    def multiples(self) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
        """The scales as whole multiples, int8 [C, N], of a unit, float32 [N].

        Raises ValueError where they are none, which `form.multiples` promises.
        """
        largest = np.abs(self.scales).max(axis=0)
        found = np.zeros(len(largest), bool)
        unit, multiples = largest.copy(), np.zeros(self.scales.shape, np.int8)
        for most in range(1, self.form.multiples + 1):
            tried = largest / np.float32(most)
            whole = np.rint(self.scales / tried)
            fits = (whole * tried == self.scales).all(axis=0) & ~found
            unit[fits], multiples[:, fits] = tried[fits], whole[:, fits]
            found |= fits
        if not found.all():
            raise ValueError("scales that are no whole multiples of a unit")
        return multiples, unit

    def integers(self) -> NDArray[np.int8]:
        """Levels times multiples, int8 [K, N]: the weights, in units of their channels."""
        multiples = np.repeat(self.multiples()[0], self.form.block_size, axis=0)
        product: NDArray[np.int8] = self.levels * multiples[: len(self.levels)]
        return product
