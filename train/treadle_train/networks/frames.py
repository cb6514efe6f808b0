"""Frames of numbers as a network reads them.

Notation: F features of a frame.
"""

import torch
from torch import Tensor, nn


class Normalization(nn.Module):
    """y = (x − mean) / deviation, feature by feature; both are kept with the weights.

    They start as 0 and 1 and are measured on the training split before training.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, features: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("deviation", torch.ones(features))

    def measure(self, frames: Tensor) -> None:
        """Take mean and deviation of frames float32 [N, F]; constant ones keep 1."""
        self.mean.copy_(frames.double().mean(dim=0))
        deviation = frames.double().std(dim=0, unbiased=False)
        self.deviation.copy_(torch.where(deviation > 0, deviation, 1.0))

    def forward(self, x: Tensor) -> Tensor:
        """Frames [..., F], normalized."""
        return (x - self.mean) / self.deviation
