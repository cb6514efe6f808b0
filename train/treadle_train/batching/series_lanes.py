"""One long series in batches for truncated back-propagation through time.

Notation: B lanes (the batch), T steps, C channels, S steps ahead.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from treadle_train.batching.lanes import lane_count, lane_length
from treadle_train.batching.order import epoch_generator


class SeriesBatch(NamedTuple):
    """The next T frames of every lane; row b goes on where row b of the batch before ended."""

    frames: Tensor  # float32 [B, T, C]
    targets: Tensor  # float32 [B, T, S]: the target channel over the S steps after each frame
    fresh: bool  # the lanes start here, with the initial state


@dataclass(frozen=True)
class SeriesLanes:
    """The batches of one epoch, from the batch `first` on, cut as `LaneBatches` cuts a text.

    Every frame of a lane has all its `ahead` targets: the last frames of the series are targets
    only.
    """

    frames: Tensor  # float32 [length of the series, C], longer than `ahead`
    target: int
    ahead: int
    batch_size: int
    steps: int
    seed: int
    epoch: int
    first: int = 0

    def __len__(self) -> int:
        return -(-self._length() // self.steps) - self.first

    def __iter__(self) -> Iterator[SeriesBatch]:
        length, lanes = self._length(), self._lanes()
        slack = self._places() - lanes * length
        start = int(epoch_generator(self.seed, self.epoch).integers(slack + 1))
        begins = start + length * torch.arange(lanes)
        ahead = self.frames[1:, self.target].unfold(0, self.ahead, 1)
        for k in range(self.first, -(-length // self.steps)):
            here = torch.arange(k * self.steps, min((k + 1) * self.steps, length))
            places = begins[:, None] + here
            yield SeriesBatch(self.frames[places], ahead[places], fresh=k == 0)

    def _places(self) -> int:
        return len(self.frames) - self.ahead

    def _lanes(self) -> int:
        return lane_count(self._places(), self.batch_size, self.steps)

    def _length(self) -> int:
        return lane_length(self._places(), self._lanes(), self.steps)
