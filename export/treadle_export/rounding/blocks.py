"""Weights as integers of few bits in blocks, laid out as com.microsoft MatMulNBits reads them.

A block is `block_size` consecutive inputs of one output channel; it has one scale.
Shapes: K inputs, N outputs, C = ceil(K / block_size) blocks.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class BlockWeights:
    """weights [K, N] = levels * scales; levels lie in [-2^(bits-1), 2^(bits-1)).

    levels: int8 [K, N]; scales: float32 [C, N], which may be negative.
    """

    levels: NDArray[np.int8]
    scales: NDArray[np.float32]
    bits: int
    block_size: int

    def dequantized(self) -> NDArray[np.float32]:
        """The weights that the levels stand for, float32 [K, N]."""
        scales = np.repeat(self.scales, self.block_size, axis=0)[: len(self.levels)]
        return self.levels.astype(np.float32) * scales

    def packed(self) -> NDArray[np.uint8]:
        """Uint8 [N, C, block_size * bits / 8]: levels around the middle, the first lowest.

        The last block is filled up with zeros.
        """
        inputs, outputs = self.levels.shape
        count = len(self.scales)
        padded = np.zeros((outputs, count * self.block_size), np.int16)
        padded[:, :inputs] = self.levels.T
        unsigned = (padded + 2 ** (self.bits - 1)).astype(np.uint8)
        if self.bits == 4:
            unsigned = unsigned[:, 0::2] | (unsigned[:, 1::2] << 4)
        packed: NDArray[np.uint8] = unsigned.reshape(outputs, count, -1)
        return packed

    def packed_scales(self) -> NDArray[np.float32]:
        """Float32 [N * C], the scales of one output channel after another."""
        return np.ascontiguousarray(self.scales.T).reshape(-1)
