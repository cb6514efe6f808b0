"""Every kind of recurrent module of torch side by side in one module, so that one trace has all."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from treadle_export.torch_modules import foreign_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from treadle_export.foreign import Foreign

INPUT, HIDDEN, PROJECTED = 3, 5, 2
STATES = ("ignored", "made", "passed")

SEQUENCES: dict[str, tuple[Callable[..., nn.RNNBase], dict[str, Any]]] = {
    "lstm": (nn.LSTM, {}),
    "projected": (nn.LSTM, {"proj_size": PROJECTED}),
    "gru": (nn.GRU, {}),
    "tanh": (nn.RNN, {"nonlinearity": "tanh"}),
    "relu": (nn.RNN, {"nonlinearity": "relu"}),
}
CELLS: dict[str, tuple[type[nn.RNNCellBase], dict[str, Any]]] = {
    "lstm": (nn.LSTMCell, {}),
    "gru": (nn.GRUCell, {}),
    "tanh": (nn.RNNCell, {"nonlinearity": "tanh"}),
    "relu": (nn.RNNCell, {"nonlinearity": "relu"}),
}


@dataclass(frozen=True)
class Kind:
    """One point of the grid."""

    name: str
    layers: int
    bidirectional: bool
    batch_first: bool
    bias: bool

    @property
    def key(self) -> str:
        flags = (self.bidirectional, self.batch_first, self.bias)
        said = [w for w, on in zip(("both", "batch", "bias"), flags, strict=True) if on]
        return "-".join([self.name, str(self.layers), *said])

    @property
    def part(self) -> int:
        """0 to 7: of each kind of layer two combinations of flags, one the other's opposite."""
        flags = (self.layers > 1, self.bidirectional, self.batch_first, self.bias)
        number = sum(on << place for place, on in enumerate(flags))
        return (min(number, 15 - number) + list(SEQUENCES).index(self.name)) % 8

    @property
    def output_size(self) -> int:
        return PROJECTED if self.name == "projected" else HIDDEN

    def make(self) -> nn.RNNBase:
        make, options = SEQUENCES[self.name]
        return make(
            INPUT,
            HIDDEN,
            self.layers,
            bias=self.bias,
            batch_first=self.batch_first,
            dropout=0.5 if self.layers > 1 else 0.0,
            bidirectional=self.bidirectional,
            **options,
        )

    def zeros(self, like: Tensor, batch: int) -> Any:
        """A state of zeros, as a module makes it inside."""
        rows = self.layers * (1 + self.bidirectional)
        hidden = torch.zeros(rows, batch, self.output_size)
        if self.name not in ("lstm", "projected"):
            return hidden
        return hidden, like.new_zeros((rows, batch, HIDDEN))


FLAGS = (False, True)
KINDS = [Kind(*row) for row in itertools.product(SEQUENCES, (1, 2), FLAGS, FLAGS, FLAGS)]


class Grid(nn.Module):
    """x [B, T, I] through every kind, packed or not; the states ignored, made inside or passed."""

    def __init__(self, kinds: Sequence[Kind], states: str, packed: bool) -> None:
        super().__init__()
        self.grid, self.states, self.packed = tuple(kinds), states, packed
        self.kinds = nn.ModuleDict({kind.key: kind.make() for kind in kinds})

    def forward(
        self, x: Tensor, lengths: Tensor | None = None, hidden: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        answers: dict[str, Any] = {}
        for kind in self.grid:
            arguments: list[Any] = []
            if self.states == "made":
                arguments = [kind.zeros(x, x.size(0))]
            if hidden is not None:
                arguments = [hidden[kind.key]]
            answers[kind.key], answers[f"{kind.key}.final"] = self._run(kind, x, lengths, arguments)
        return answers

    def _run(self, kind: Kind, x: Tensor, lengths: Tensor | None, arguments: list[Any]) -> Any:
        given = x if kind.batch_first else x.transpose(0, 1)
        if not self.packed:
            return self.kinds[kind.key](given, *arguments)
        assert lengths is not None
        packed = pack_padded_sequence(given, lengths.cpu(), kind.batch_first, enforce_sorted=False)
        outputs, final = self.kinds[kind.key](packed, *arguments)
        return pad_packed_sequence(outputs, kind.batch_first)[0], final


class CellGrid(nn.Module):
    """One step x [B, I] of every cell, with and without biases."""

    def __init__(self, states: str) -> None:
        super().__init__()
        self.states = states
        self.cells = nn.ModuleDict(
            {
                f"{name}-{bias}": cls(INPUT, HIDDEN, bias=bias, **options)
                for name, (cls, options) in CELLS.items()
                for bias in FLAGS
            }
        )

    def forward(self, x: Tensor, state: dict[str, Any] | None = None) -> dict[str, Any]:
        answers: dict[str, Any] = {}
        for key, cell in self.cells.items():
            arguments: list[Any] = []
            if self.states == "made":
                zeros = x.new_zeros(*x.shape[:-1], HIDDEN)
                arguments = [(zeros, zeros)] if key.startswith("lstm") else [zeros]
            if state is not None:
                arguments = [state[key]]
            answers[key] = cell(x, *arguments)
        return answers


def some_kinds(states: str, packed: bool) -> list[Kind]:
    """Two of each kind of layer, others for each use."""
    return [kind for kind in KINDS if kind.part == 2 * STATES.index(states) + packed]


@cache
def grid(states: str, packed: bool, whole: bool) -> tuple[Grid, Foreign]:
    """The grid, or some of it, traced from an example of one row and one step."""
    kinds = KINDS if whole else some_kinds(states, packed)
    module = Grid(kinds, states, packed)
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        for parameter in module.parameters():
            parameter.uniform_(-0.6, 0.6)  # large enough for gates to move, small enough for relu
    example: dict[str, Any] = {"x": torch.zeros(1, 1, INPUT)}
    if packed:
        example["lengths"] = torch.ones(1, dtype=torch.int64)
    if states == "passed":
        example["hidden"] = {kind.key: kind.zeros(example["x"], 1) for kind in kinds}
    return module.eval(), foreign_of(module, example)


@cache
def cell_grid(states: str, batched: bool) -> tuple[CellGrid, Foreign]:
    """The grid of cells, traced from one row with or without its batch axis."""
    module = CellGrid(states).eval()
    rows = (1,) if batched else ()
    example: dict[str, Any] = {"x": torch.zeros(*rows, INPUT)}
    if states == "passed":
        zeros = torch.zeros(*rows, HIDDEN)
        example["state"] = {
            key: (zeros, zeros) if key.startswith("lstm") else zeros for key in module.cells
        }
    return module, foreign_of(module, example)
