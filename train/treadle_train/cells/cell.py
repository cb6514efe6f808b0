"""What every recurrent cell has: parameters, an initial state, a step, its unrolling over time.

Notation: B batch, T time, I input size, H hidden size, G gates.
"""

import math
from abc import ABC, abstractmethod
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from treadle_train.cells.ragged import all_full, unroll_packed

S = TypeVar("S", bound=tuple[Tensor, ...])


class HiddenState(NamedTuple):
    """The state of a cell that carries its output only."""

    hidden: Tensor  # float32 [B, H]


class Cell(nn.Module, ABC, Generic[S]):
    """A recurrent cell: `step` maps (input, state) to (output, next state).

    Parameters, gates stacked along the first axis in PyTorch's order:
    input_weights [G*H, I], recurrent_weights [G*H, H], input_bias [G*H], recurrent_bias [G*H].
    They start uniform in ±1/√H.
    """

    state_type: ClassVar[type[Any]]
    state_names: ClassVar[tuple[str, ...]]
    hidden_bound: float | None = 1.0
    """|hidden| never exceeds this if it does not at the start; None where there is no bound."""
    recurrent_dropout: float = 0.0
    """The rate at which entries of recurrent_weights count as zero while training; see `unroll`."""

    def __init__(self, input_size: int, hidden_size: int, gates: int) -> None:
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.input_weights = nn.Parameter(torch.empty(gates * hidden_size, input_size))
        self.recurrent_weights = nn.Parameter(torch.empty(gates * hidden_size, hidden_size))
        self.input_bias = nn.Parameter(torch.empty(gates * hidden_size))
        self.recurrent_bias = nn.Parameter(torch.empty(gates * hidden_size))
        bound = 1 / math.sqrt(hidden_size)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -bound, bound)

    def initial_state(self, batch_size: int) -> S:
        """Zeros [B, H] for each name in `state_names`."""
        zeros = [self.input_bias.new_zeros(batch_size, self.hidden_size) for _ in self.state_names]
        state: S = self.state_type(*zeros)
        return state

    @abstractmethod
    def step(self, x: Tensor, state: S) -> tuple[Tensor, S]:
        """One time step as the equations say: x [B, I] to (output [B, H], next state)."""

    @abstractmethod
    def run(self, x: Tensor, state: S, batch_sizes: Tensor | None) -> tuple[Tensor, S]:
        """All time steps by the fastest kernel that computes the same as `step`.

        batch_sizes None: x [B, T, I] to (outputs [B, T, H], state after the last step).
        Otherwise x is the data [N, I] of a packed sequence, rows from long to short, and
        batch_sizes int64 [T] says how many rows are alive at each time step.
        """

    def unroll(
        self, x: Tensor, state: S | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, S]:
        """Apply `step` along time: x [B, T, I] to (outputs [B, T, H], state at each row's length).

        lengths int64 [B] in 0..T, None where all rows are full. Outputs are zero from a row's
        length on; a row of length 0 keeps its state.

        In training `recurrent_dropout` applies, with one mask for all rows and steps, so that it
        disturbs no state on its way through time (Merity, Keskar & Socher, "Regularizing and
        optimizing LSTM language models", 2018). `step` never drops anything.
        """
        start: S = self.initial_state(x.shape[0]) if state is None else state
        if lengths is None or all_full(lengths, x.shape[1]):
            return self.run(x, start, None)
        outputs, final = unroll_packed(self.run, x, start, lengths)
        end: S = self.state_type(*final)
        return outputs, end

    def dropped_recurrent_weights(self) -> Tensor:
        """recurrent_weights [G*H, H] with a new mask of `recurrent_dropout`, in training only."""
        if not (self.training and self.recurrent_dropout):
            return self.recurrent_weights
        return functional.dropout(self.recurrent_weights, self.recurrent_dropout)

    def fused_parameters(self) -> list[Tensor]:
        """The parameters in the order in which torch's fused kernels take them."""
        return [
            self.input_weights,
            self.dropped_recurrent_weights(),
            self.input_bias,
            self.recurrent_bias,
        ]

    def extra_repr(self) -> str:
        """Sizes, for printing."""
        return f"{self.input_size}, {self.hidden_size}"
