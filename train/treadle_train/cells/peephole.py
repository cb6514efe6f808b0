"""Long short-term memory whose gates see what the cell keeps."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from treadle_train.cells.lstm import LSTM, LSTMState
from treadle_train.cells.ragged import loop


class PeepholeLSTM(LSTM):
    """An LSTM with three more vectors: p_i and p_f see the cell as it was, p_o as it becomes.

        i = σ(… + p_i ⊙ cell)     f = σ(… + p_f ⊙ cell)     o = σ(… + p_o ⊙ cell')

    Gers & Schmidhuber, "Recurrent nets that time and count", 2000. Everything else is `LSTM`'s.
    peepholes [3*H] are p_i, p_f, p_o, uniform in ±1/√H at first. torch has no kernel for it.
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.peepholes = nn.Parameter(torch.empty(3 * hidden_size))
        bound = 1 / math.sqrt(hidden_size)
        nn.init.uniform_(self.peepholes, -bound, bound)

    def step(self, x: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
        """One time step: x [B, I] to (output [B, H], next state)."""
        projected = functional.linear(x, self.input_weights, self.input_bias)
        return self._advance(projected, state, self.recurrent_weights)

    def _advance(
        self, projected: Tensor, state: LSTMState, weights: Tensor
    ) -> tuple[Tensor, LSTMState]:
        """The step once W x + b [B, 4*H] is known, with recurrent weights [4*H, H]."""
        total = projected + functional.linear(state.hidden, weights, self.recurrent_bias)
        input_gate, forget_gate, candidate, output_gate = total.chunk(4, dim=-1)
        to_input, to_forget, to_output = self.peepholes.chunk(3)
        cell = torch.sigmoid(forget_gate + to_forget * state.cell) * state.cell
        opened = torch.sigmoid(input_gate + to_input * state.cell)
        cell = cell + opened * torch.tanh(candidate)
        hidden = torch.sigmoid(output_gate + to_output * cell) * torch.tanh(cell)
        return hidden, LSTMState(hidden, cell)

    def run(
        self, x: Tensor, state: LSTMState, batch_sizes: Tensor | None
    ) -> tuple[Tensor, LSTMState]:
        """All time steps, one after another in Python; see `Cell.run`."""
        projected = functional.linear(x, self.input_weights, self.input_bias)
        weights = self.dropped_recurrent_weights()

        def advance(rows: Tensor, part: LSTMState) -> tuple[Tensor, LSTMState]:
            return self._advance(rows, part, weights)

        return loop(advance, projected, state, batch_sizes)
