"""A look-ahead convolution: what a layer says of a step, mixed with what it says of those behind.

Wang, Amodei, Zhu et al., "Lookahead convolution layer for unidirectional recurrent neural
networks", ICLR workshop, 2016.

Notation: B batch, T time, H size of a step's output, k steps ahead.
"""

import torch
from torch import Tensor, nn

from treadle_train.cells.layer import State

_OUTPUTS = "outputs"


class Lookahead(nn.Module):
    """y_t = Σ_j w_j ⊙ h_{t+j},  j = 0..k: known k steps later, so a step gives y_{t-k}.

    What is carried are the last k outputs h, [B, k * H], zeros at first. It starts with w_0 = 1 and
    the rest 0: as if nothing were looked ahead.
    """

    def __init__(self, size: int, steps: int) -> None:
        super().__init__()
        self.size, self.steps = size, steps
        self.weights = nn.Parameter(torch.zeros(steps + 1, size))
        with torch.no_grad():
            self.weights[0] = 1.0

    def initial_state(self, batch_size: int) -> State:
        """Zeros [B, k * H]."""
        return {_OUTPUTS: self.weights.new_zeros(batch_size, self.steps * self.size)}

    def step(self, hidden: Tensor, state: State) -> tuple[Tensor, State]:
        """The output h_t [B, H] to (y_{t-k} [B, H], next state)."""
        window = torch.cat([state[_OUTPUTS], hidden], dim=-1)
        parts = window.reshape(-1, self.steps + 1, self.size).unbind(1)
        return self._mixed(parts), {_OUTPUTS: window[:, self.size :]}

    def sequence(self, hidden: Tensor, lengths: Tensor, state: State) -> tuple[Tensor, State]:
        """Outputs h [B, T, H] of rows of `lengths` int64 [B] to (y [B, T, H], k steps late, state).

        What lies beyond a row's length means nothing; the state is that at each row's length.
        """
        before = state[_OUTPUTS].reshape(-1, self.steps, self.size)
        every, time = torch.cat([before, hidden], dim=1), hidden.shape[1]
        mixed = self._mixed([every[:, j : j + time] for j in range(self.steps + 1)])
        places = lengths[:, None] + torch.arange(self.steps, device=lengths.device)
        kept = every.gather(1, places[:, :, None].expand(-1, -1, self.size))
        return mixed, {_OUTPUTS: kept.flatten(1)}

    def _mixed(self, parts: list[Tensor] | tuple[Tensor, ...]) -> Tensor:
        """The sum of parts [..., H] by their weights, in the same order for a step and for many."""
        total = parts[0] * self.weights[0]
        for part, weights in zip(parts[1:], self.weights[1:], strict=True):
            total = total + part * weights
        return total

    def extra_repr(self) -> str:
        """Sizes, for printing."""
        return f"{self.size}, {self.steps}"
