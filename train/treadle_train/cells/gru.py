"""The gated recurrent unit, in both forms."""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from treadle_train.cells.cell import Cell, HiddenState
from treadle_train.cells.ragged import loop


class GRU(Cell[HiddenState]):
    """Reset gate r, update gate z and candidate n, each from its own rows of W, R, b, c.

        r = σ(W_r x + b_r + R_r h + c_r)        z = σ(W_z x + b_z + R_z h + c_z)
        reset "after":   n = tanh(W_n x + b_n + r ⊙ (R_n h + c_n))
        reset "before":  n = tanh(W_n x + b_n + R_n (r ⊙ h) + c_n)
        h' = (1 − z) ⊙ n + z ⊙ h

    "before" is the cell of Cho et al. 2014 and of textbooks (many of which swap the roles of z
    and 1 − z); "after" is the one of PyTorch and cuDNN, which lets all three recurrent products
    be one. Gate order r, z, n as in torch.nn.GRU; the output is h'.
    """

    state_type = HiddenState
    state_names = ("hidden",)

    def __init__(
        self, input_size: int, hidden_size: int, reset: Literal["after", "before"] = "after"
    ) -> None:
        super().__init__(input_size, hidden_size, gates=3)
        self.reset = reset

    def step(self, x: Tensor, state: HiddenState) -> tuple[Tensor, HiddenState]:
        """One time step: x [B, I] to (output [B, H], next state)."""
        projected = functional.linear(x, self.input_weights, self.input_bias)
        return self._advance(projected, state, self.recurrent_weights)

    def _advance(
        self, projected: Tensor, state: HiddenState, weights: Tensor
    ) -> tuple[Tensor, HiddenState]:
        """The step once W x + b [B, 3*H] is known, with recurrent weights [3*H, H]."""
        hidden, size, bias = state.hidden, self.hidden_size, self.recurrent_bias
        if self.reset == "after":
            recurrent = functional.linear(hidden, weights, bias)
            gates = torch.sigmoid(projected[:, : 2 * size] + recurrent[:, : 2 * size])
            reset_gate, update_gate = gates.chunk(2, dim=-1)
            shift = reset_gate * recurrent[:, 2 * size :]
        else:
            recurrent = functional.linear(hidden, weights[: 2 * size], bias[: 2 * size])
            reset_gate, update_gate = torch.sigmoid(projected[:, : 2 * size] + recurrent).chunk(
                2, dim=-1
            )
            shift = functional.linear(reset_gate * hidden, weights[2 * size :], bias[2 * size :])
        candidate = torch.tanh(projected[:, 2 * size :] + shift)
        hidden = (1 - update_gate) * candidate + update_gate * hidden
        return hidden, HiddenState(hidden)

    def run(
        self, x: Tensor, state: HiddenState, batch_sizes: Tensor | None
    ) -> tuple[Tensor, HiddenState]:
        """All time steps in torch's kernel where there is one; see `Cell.run`."""
        if self.reset == "before":  # torch has no kernel for it
            return self._loop(x, state, batch_sizes)
        start = state.hidden[None].contiguous()
        train = torch.is_grad_enabled()
        if batch_sizes is None:
            outputs, final = torch.gru(
                x, start, self.fused_parameters(), True, 1, 0.0, train, False, True
            )
        else:
            outputs, final = torch.gru(
                x, batch_sizes, start, self.fused_parameters(), True, 1, 0.0, train, False
            )
        return outputs, HiddenState(final[0])

    def _loop(
        self, x: Tensor, state: HiddenState, batch_sizes: Tensor | None
    ) -> tuple[Tensor, HiddenState]:
        """Time steps in Python; the input products of all of them are one product."""
        projected = functional.linear(x, self.input_weights, self.input_bias)
        weights = self.dropped_recurrent_weights()

        def advance(rows: Tensor, part: HiddenState) -> tuple[Tensor, HiddenState]:
            return self._advance(rows, part, weights)

        return loop(advance, projected, state, batch_sizes)

    def extra_repr(self) -> str:
        """Sizes and form, for printing."""
        return f"{self.input_size}, {self.hidden_size}, reset={self.reset!r}"
