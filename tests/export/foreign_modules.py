"""Modules as people write them around a recurrent layer: what a trace must carry over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from torch.nn.utils.rnn import pack_padded_sequence as packed_by_another_name

WORDS, WIDTH, HIDDEN = 11, 6, 4


class Tagger(nn.Module):
    """A tag for each word, packed by lengths and padded again in every way that torch knows."""

    def __init__(self, *, enforce_sorted: bool = False) -> None:
        super().__init__()
        self.embedding = nn.Embedding(WORDS, WIDTH)
        self.rnn = nn.LSTM(WIDTH, HIDDEN, batch_first=True, bidirectional=True)
        self.output = nn.Linear(2 * HIDDEN, 3)
        self.sorted = enforce_sorted

    def forward(self, tokens: Tensor, lengths: Tensor) -> Any:
        given = self.embedding(tokens)
        packed = pack_padded_sequence(given, lengths, True, enforce_sorted=self.sorted)
        return self.tagged(packed, tokens)

    def tagged(self, packed: Any, tokens: Tensor) -> Any:
        outputs, _ = self.rnn(packed)
        options: dict[str, dict[str, Any]] = {
            "plain": {},
            "whole": {"total_length": tokens.size(1)},
            "longer": {"total_length": 12},
            "other": {"padding_value": 2.5},
            "both": {"padding_value": -1.0, "total_length": 12},
        }
        return {
            name: self.output(pad_packed_sequence(outputs, batch_first=True, **chosen)[0])
            for name, chosen in options.items()
        }


class CountingTagger(Tagger):
    """Lengths are no input: they are counted from the words, 0 standing for none."""

    def forward(self, tokens: Tensor) -> Any:  # type: ignore[override]
        lengths = (tokens != 0).sum(1)
        given = self.embedding(tokens)
        packed = packed_by_another_name(given, lengths.cpu(), True, enforce_sorted=False)
        return self.tagged(packed, tokens)


class SequenceClassifier(nn.Module):
    """The final state at each row's length, and the lengths themselves."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(WIDTH, HIDDEN, 2, bidirectional=True)

    def forward(self, frames: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        _, final = self.gru(pack_padded_sequence(frames, lengths, enforce_sorted=False))
        return torch.cat([final[-2], final[-1]], -1), lengths


class Padded(nn.Module):
    """Packed and padded again with nothing between, another value behind each row's length."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.RNN(WIDTH, HIDDEN, batch_first=True, nonlinearity="relu")

    def forward(self, frames: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        packed = pack_padded_sequence(frames, lengths, True, False)
        outputs, counted = pad_packed_sequence(packed, True, -1.5)
        return self.rnn(outputs)[0], outputs, counted


class StepState(NamedTuple):
    hidden: Tensor
    cell: Tensor


class Step(NamedTuple):
    logits: Tensor
    state: StepState


class StepDecoder(nn.Module):
    """One token and a NamedTuple of states to the next."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(WORDS, WIDTH)
        self.cell = nn.LSTMCell(WIDTH, HIDDEN)
        self.output = nn.Linear(HIDDEN, WORDS)

    def forward(self, token: Tensor, state: StepState) -> Step:
        hidden, cell = self.cell(self.embedding(token), tuple(state))
        return Step(self.output(hidden), StepState(hidden, cell))


@dataclass
class Answer:
    scores: Tensor
    hidden: Tensor
    note: str = "not a tensor"


class Gated(nn.Module):
    """A step whose hidden state is read by more than its cell; it answers with a dataclass."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRUCell(WIDTH, HIDDEN)
        self.gate = nn.Linear(HIDDEN, WIDTH)

    def forward(self, x: Tensor, hidden: Tensor) -> Answer:
        following = self.cell(x * torch.sigmoid(self.gate(hidden)), hidden)
        return Answer(following.softmax(-1), following)


class Cached(nn.Module):
    """A convolution with a cache of its own, in a dict under the same key in and out."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(WIDTH, WIDTH, 3)
        self.gru = nn.GRU(WIDTH, HIDDEN, batch_first=True)

    def forward(self, x: Tensor, cache: Tensor, h: Tensor) -> dict[str, Tensor]:
        joined = torch.cat([cache, x.transpose(1, 2)], -1)
        outputs, h = self.gru(F.relu(self.conv(joined)).transpose(1, 2), h)
        return {"y": outputs, "cache": joined[..., -2:], "h": h}


class CausalConvolutions(nn.Module):
    """Padded on the left by hand, padded on both sides and chomped, dilated, gated."""

    def __init__(self) -> None:
        super().__init__()
        self.padded = nn.Conv1d(WIDTH, 8, 4)
        self.chomped = nn.Conv1d(4, 6, 3, padding=4, dilation=2)
        self.normed = nn.BatchNorm1d(6)
        self.gru = nn.GRU(6, HIDDEN, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        given = F.glu(self.padded(F.pad(x.transpose(1, 2), (3, 0))), 1)
        convolved = self.chomped(given)[..., :-4]
        outputs: Tensor = self.gru(self.normed(convolved).transpose(1, 2))[0]
        return outputs


class RunningNorm(nn.Module):
    """The mean and the deviation of all frames so far, then a normalized layer."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH)
        self.rnn = nn.RNN(WIDTH, HIDDEN, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        count = torch.arange(1, x.shape[1] + 1, device=x.device).to(x.dtype)[None, :, None]
        mean = torch.cumsum(x, 1) / count
        square = torch.cumsum(x * x, 1) / count
        deviation = (square - mean**2).clamp_min(0).sqrt()
        outputs: Tensor = self.rnn(self.norm((x - mean) / (deviation + 1e-2)))[0]
        return outputs


class ShiftedFrames(nn.Module):
    """Each frame beside the two before it."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(3 * WIDTH, HIDDEN, batch_first=True, proj_size=2)

    def forward(self, x: Tensor) -> Tensor:
        past = F.pad(x, (0, 0, 2, 0))
        outputs: Tensor = self.lstm(
            torch.cat([past[:, shift : shift + x.shape[1]] for shift in range(3)], -1)
        )[0]
        return outputs


class StackedFrames(nn.Module):
    """Three frames as one step, time first."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(3 * WIDTH, HIDDEN)

    def forward(self, x: Tensor) -> Tensor:
        time, batch, features = x.shape
        frames = x.transpose(0, 1).reshape(batch, time // 3, 3 * features)
        outputs: Tensor = self.gru(frames.transpose(0, 1))[0]
        return outputs


class Subsampled(nn.Module):
    """A strided convolution before the recurrence: one step for two frames."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(WIDTH, 5, 2, stride=2)
        self.lstm = nn.LSTM(5, HIDDEN, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = self.lstm(self.conv(x.transpose(1, 2)).transpose(1, 2))[0]
        return outputs


class WithPast(nn.GRU):
    """A class of the user's own on top of torch's, called by keyword."""

    def forward(self, input: Any, hx: Any = None) -> Any:  # noqa: A002
        outputs, final = super().forward(input=input, hx=hx)
        return outputs + 1, final


class Mixed(nn.Module):
    """Asks its recurrent modules for what they are, and draws zeros from their weights."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = WithPast(WIDTH, HIDDEN, 2, batch_first=True)
        self.cells = nn.ModuleList(nn.LSTM(HIDDEN, HIDDEN, batch_first=True) for _ in range(2))
        self.alias = self.encoder

    def forward(self, x: Tensor) -> Tensor:
        self.encoder.flatten_parameters()
        weight = next(self.alias.parameters())
        hidden = weight.new_zeros(self.encoder.num_layers, x.size(0), self.encoder.hidden_size)
        outputs: Tensor = self.encoder(x, hidden)[0]
        for cell in self.cells:
            assert isinstance(cell, nn.LSTM)
            outputs = outputs + cell(outputs)[0]
        return outputs


class CachedStep(nn.Module):
    """A step with a cache of frames and a state, which come back in a tuple, without names."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Linear(3 * WIDTH, WIDTH)
        self.gru = nn.GRUCell(WIDTH, HIDDEN)
        self.output = nn.Linear(HIDDEN, 2)

    def forward(self, frame: Tensor, past: Tensor, h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        frames = torch.cat([past, frame[:, None]], 1)
        h = self.gru(torch.relu(self.mix(frames.flatten(1))), h)
        return self.output(h), frames[:, 1:], h


class CachedChunk(nn.Module):
    """A chunk with a cache of frames and a state, which come back in a tuple, without names."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(WIDTH, WIDTH, 4)
        self.gru = nn.GRU(WIDTH, HIDDEN, batch_first=True)

    def forward(self, x: Tensor, past: Tensor, h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        joined = torch.cat([past, x], 1)
        outputs, h = self.gru(torch.tanh(self.conv(joined.transpose(1, 2))).transpose(1, 2), h)
        return outputs, joined[:, -3:], h


class Speaker(nn.Module):
    """A vector that never changes goes in, and one of its size comes out: no state."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(2 * WIDTH, HIDDEN, batch_first=True)
        self.output = nn.Linear(HIDDEN, WIDTH)

    def forward(self, x: Tensor, speaker: Tensor) -> tuple[Tensor, Tensor]:
        wide = speaker[:, None].expand(-1, x.size(1), -1)
        outputs, h = self.gru(torch.cat([x, wide], -1))
        return outputs, self.output(h[-1])
