"""The simple recurrent network of Elman."""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from treadle_train.cells.cell import Cell, HiddenState


class Elman(Cell[HiddenState]):
    """h' = φ(W x + b + R h + c), φ = tanh or ReLU; the output is h'.

    Elman, "Finding structure in time", Cognitive Science 14, 1990. One gate: G = 1.
    ReLU leaves the hidden state without a bound.
    """

    state_type = HiddenState
    state_names = ("hidden",)

    def __init__(
        self, input_size: int, hidden_size: int, nonlinearity: Literal["tanh", "relu"] = "tanh"
    ) -> None:
        super().__init__(input_size, hidden_size, gates=1)
        self.nonlinearity = nonlinearity
        self.hidden_bound = 1.0 if nonlinearity == "tanh" else None

    def step(self, x: Tensor, state: HiddenState) -> tuple[Tensor, HiddenState]:
        """One time step: x [B, I] to (output [B, H], next state)."""
        total = functional.linear(x, self.input_weights, self.input_bias) + functional.linear(
            state.hidden, self.recurrent_weights, self.recurrent_bias
        )
        hidden = torch.tanh(total) if self.nonlinearity == "tanh" else torch.relu(total)
        return hidden, HiddenState(hidden)

    def run(
        self, x: Tensor, state: HiddenState, batch_sizes: Tensor | None
    ) -> tuple[Tensor, HiddenState]:
        """All time steps in one of torch's kernels; see `Cell.run`."""
        kernel = torch.rnn_tanh if self.nonlinearity == "tanh" else torch.rnn_relu
        start = state.hidden[None].contiguous()
        train = torch.is_grad_enabled()
        if batch_sizes is None:
            outputs, final = kernel(
                x, start, self.fused_parameters(), True, 1, 0.0, train, False, True
            )
        else:
            outputs, final = kernel(
                x, batch_sizes, start, self.fused_parameters(), True, 1, 0.0, train, False
            )
        return outputs, HiddenState(final[0])

    def extra_repr(self) -> str:
        """Sizes and nonlinearity, for printing."""
        return f"{self.input_size}, {self.hidden_size}, nonlinearity={self.nonlinearity!r}"
