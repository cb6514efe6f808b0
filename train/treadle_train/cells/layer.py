"""One recurrent layer: a cell that reads forwards, and one that reads backwards if asked.

Notation: B batch, T time, I input size, H hidden size, D directions (1 or 2).
"""

import torch
from torch import Tensor, nn

from treadle.errors import InputError
from treadle_train.cells.lstm import LSTM
from treadle_train.cells.ragged import all_full, reverse
from treadle_train.cells.table import make_cell

State = dict[str, Tensor]


class Layer(nn.Module):
    """Cells over one sequence; state names are the cell's, those of the second "reverse.…"."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        cell: str = "lstm",
        bidirectional: bool = False,
        recurrent_dropout: float = 0.0,
        forget_bias: float = 0.0,
    ) -> None:
        super().__init__()
        self.cell_name = cell
        self.hidden_size = hidden_size
        self.output_size = hidden_size * (2 if bidirectional else 1)
        self.forward_cell = make_cell(cell, input_size, hidden_size)
        self.reverse_cell = make_cell(cell, input_size, hidden_size) if bidirectional else None
        for one in self.children():
            one.recurrent_dropout = recurrent_dropout  # type: ignore[assignment]
        if forget_bias:
            for module in self.children():
                if isinstance(module, LSTM):
                    module.set_forget_bias(forget_bias)

    def initial_state(self, batch_size: int) -> State:
        """Zeros [B, H] by state name."""
        state = self.forward_cell.initial_state(batch_size)._asdict()
        if self.reverse_cell is not None:
            reverse_state = self.reverse_cell.initial_state(batch_size)._asdict()
            state |= {f"reverse.{name}": value for name, value in reverse_state.items()}
        return dict(state)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """One time step: x [B, I] to (output [B, H], next state).

        Raises InputError for a bidirectional layer: it needs the end of the sequence.
        """
        cell = self.forward_cell
        if self.reverse_cell is not None:
            raise InputError(
                "A bidirectional layer cannot step: its reverse direction starts at the end of "
                "the sequence. Use unroll, or a layer with bidirectional=False."
            )
        output, end = cell.step(x, cell.state_type(*(state[name] for name in cell.state_names)))
        return output, dict(end._asdict())

    def unroll(
        self, x: Tensor, state: State, lengths: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """All time steps: x [B, T, I] to (outputs [B, T, D*H], state at each row's length).

        Outputs are zero where padded. The reverse direction starts at each row's own last step;
        its final state is the one after the first position.
        """
        if lengths is not None and all_full(lengths, x.shape[1]):
            lengths = None
        cell = self.forward_cell
        start = cell.state_type(*(state[name] for name in cell.state_names))
        outputs, end = cell.unroll(x, start, lengths)
        ends = dict(end._asdict())
        if self.reverse_cell is None:
            return outputs, ends
        start = cell.state_type(*(state[f"reverse.{name}"] for name in cell.state_names))
        mirrored, end = self.reverse_cell.unroll(reverse(x, lengths), start, lengths)
        ends |= {f"reverse.{name}": value for name, value in end._asdict().items()}
        return torch.cat([outputs, reverse(mirrored, lengths)], dim=-1), ends
