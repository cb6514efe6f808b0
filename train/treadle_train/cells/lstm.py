"""Long short-term memory."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from treadle_train.cells.cell import Cell


class LSTMState(NamedTuple):
    """The state of an LSTM: what it shows and what it keeps."""

    hidden: Tensor  # float32 [B, H]
    cell: Tensor  # float32 [B, H]


class LSTM(Cell[LSTMState]):
    """Input, forget, cell and output gate, each from its own rows of W, R, b, c.

        i = σ(W_i x + b_i + R_i h + c_i)        f = σ(W_f x + b_f + R_f h + c_f)
        g = tanh(W_g x + b_g + R_g h + c_g)     o = σ(W_o x + b_o + R_o h + c_o)
        cell' = f ⊙ cell + i ⊙ g                h' = o ⊙ tanh(cell')

    Hochreiter & Schmidhuber 1997 with the forget gate of Gers, Schmidhuber & Cummins 2000.
    Gate order i, f, g, o as in torch.nn.LSTM; the output is h'.
    """

    state_type = LSTMState
    state_names = ("hidden", "cell")

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size, gates=4)

    def set_forget_bias(self, value: float) -> None:
        """Let b_f + c_f be `value`, so that with 1 or more the cell keeps what it has at first.

        Gers, Schmidhuber & Cummins 2000; Jozefowicz, Zaremba & Sutskever, "An empirical exploration
        of recurrent network architectures", 2015.
        """
        rows = slice(self.hidden_size, 2 * self.hidden_size)
        with torch.no_grad():
            self.input_bias[rows] = value
            self.recurrent_bias[rows] = 0.0

    def step(self, x: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
        """One time step: x [B, I] to (output [B, H], next state)."""
        total = functional.linear(x, self.input_weights, self.input_bias) + functional.linear(
            state.hidden, self.recurrent_weights, self.recurrent_bias
        )
        input_gate, forget_gate, candidate, output_gate = total.chunk(4, dim=-1)
        cell = torch.sigmoid(forget_gate) * state.cell
        cell = cell + torch.sigmoid(input_gate) * torch.tanh(candidate)
        hidden = torch.sigmoid(output_gate) * torch.tanh(cell)
        return hidden, LSTMState(hidden, cell)

    def run(
        self, x: Tensor, state: LSTMState, batch_sizes: Tensor | None
    ) -> tuple[Tensor, LSTMState]:
        """All time steps in torch's kernel; see `Cell.run`."""
        start = [part[None].contiguous() for part in state]
        train = torch.is_grad_enabled()
        if batch_sizes is None:
            outputs, hidden, cell = torch.lstm(
                x, start, self.fused_parameters(), True, 1, 0.0, train, False, True
            )
        else:
            outputs, hidden, cell = torch.lstm(
                x, batch_sizes, start, self.fused_parameters(), True, 1, 0.0, train, False
            )
        return outputs, LSTMState(hidden[0], cell[0])
