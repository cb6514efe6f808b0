"""Factories as a user would write them, for `treadle adopt package.module:factory`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class KeywordSpotter(nn.Module):
    """Frames, causally convolved and normalized by all that came before, through a GRU."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(6, 8, 3)
        self.rnn = nn.GRU(8, 12, 2, batch_first=True)
        self.head = nn.Linear(12, 4)

    def forward(self, frames: Tensor) -> Tensor:
        x = nn.functional.pad(frames.transpose(1, 2), (2, 0))
        x = self.conv(x).transpose(1, 2)
        count = torch.arange(1, x.shape[1] + 1).to(x.dtype)[None, :, None]
        x = x - x.cumsum(1) / count
        y, _ = self.rnn(x)
        scores: Tensor = self.head(y)
        return scores


class WithStates(nn.Module):
    """An LSTM that is given its states, time first, and gives them back."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(20, 6)
        self.rnn = nn.LSTM(6, 10, 1, proj_size=0)
        self.head = nn.Linear(10, 20)

    def forward(self, token: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Any, ...]:
        y, after = self.rnn(self.embedding(token), state)
        return self.head(y), after


class OneStep(nn.Module):
    """A cell, one step at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.LSTMCell(6, 10)

    def forward(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        h, c = self.cell(x, (h, c))
        return h * 2, h, c


class Classifier(nn.Module):
    """The last state of a packed batch."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(6, 10, batch_first=True)
        self.head = nn.Linear(10, 3)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        packed = nn.utils.rnn.pack_padded_sequence(
            x, lengths, batch_first=True, enforce_sorted=False
        )
        _, last = self.rnn(packed)
        scores: Tensor = self.head(last[-1])
        return scores


def spotter() -> tuple[nn.Module, tuple[Tensor, ...]]:
    torch.manual_seed(1)
    return KeywordSpotter(), (torch.randn(2, 50, 6),)


def with_states() -> tuple[nn.Module, tuple[Any, ...]]:
    torch.manual_seed(2)
    state = (torch.zeros(1, 2, 10), torch.zeros(1, 2, 10))
    return WithStates(), (torch.randint(0, 20, (30, 2)), state)


def one_step() -> tuple[nn.Module, tuple[Tensor, ...]]:
    torch.manual_seed(3)
    return OneStep(), (torch.randn(40, 6), torch.zeros(40, 10), torch.zeros(40, 10))


def classifier() -> tuple[nn.Module, tuple[Tensor, ...]]:
    torch.manual_seed(4)
    return Classifier(), (torch.randn(2, 30, 6), torch.tensor([30, 20]))
