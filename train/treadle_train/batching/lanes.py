"""One long text in batches for truncated back-propagation through time.

Notation: B lanes (the batch), T steps.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from treadle_train.batching.order import epoch_generator, with_unknowns


class LaneBatch(NamedTuple):
    """The next T symbols of every lane; row b goes on where row b of the batch before ended."""

    inputs: Tensor  # int64 [B, T]
    targets: Tensor  # int64 [B, T]: the inputs, one symbol later
    fresh: bool  # the lanes start here, with the initial state


@dataclass(frozen=True)
class LaneBatches:
    """The batches of one epoch, from the batch `first` on.

    The text is cut into `batch_size` lanes of equal length that run side by side. Where the first
    lane starts changes from epoch to epoch, so that the cuts fall elsewhere. A text too short for
    that many lanes runs in fewer.
    """

    ids: NDArray[np.int64]  # [length of the text], at least 2
    batch_size: int
    steps: int
    seed: int
    epoch: int
    unknown_rate: float = 0.0
    unknown: int = 0
    first: int = 0

    def __len__(self) -> int:
        return -(-self._lane_length() // self.steps) - self.first

    def __iter__(self) -> Iterator[LaneBatch]:
        length, lanes = self._lane_length(), self._lanes()
        slack = len(self.ids) - 1 - lanes * length
        generator = epoch_generator(self.seed, self.epoch)
        start = int(generator.integers(slack + 1))
        draw = int(generator.integers(2**63))
        span = start + lanes * length
        inputs = torch.from_numpy(self.ids[start:span].reshape(lanes, length).copy())
        inputs = with_unknowns(inputs, self.unknown_rate, self.unknown, draw)
        targets = torch.from_numpy(self.ids[start + 1 : span + 1].reshape(lanes, length).copy())
        for k in range(self.first, -(-length // self.steps)):
            window = slice(k * self.steps, (k + 1) * self.steps)
            yield LaneBatch(inputs[:, window], targets[:, window], fresh=k == 0)

    def _lanes(self) -> int:
        return lane_count(len(self.ids) - 1, self.batch_size, self.steps)

    def _lane_length(self) -> int:
        return lane_length(len(self.ids) - 1, self._lanes(), self.steps)


def lane_count(places: int, batch_size: int, steps: int) -> int:
    """How many lanes run side by side through so many places, each at least one batch long."""
    return min(batch_size, max(1, places // steps))


def lane_length(places: int, lanes: int, steps: int) -> int:
    """How many places a lane has: up to half a batch is left over for the start to move in."""
    length = places // lanes
    return length - steps // 2 if length > 4 * steps else length
