"""A recurrent forecaster: after every frame, one channel's values over the steps that follow.

Notation: B batch, T time, C channels of a frame, W steps of a season, S steps ahead, Q quantiles.
"""

import torch
from torch import Tensor, nn

from treadle.manifest import Tensor as Port
from treadle_train.cells.dropout import make_dropout
from treadle_train.cells.layer import State
from treadle_train.cells.stack import Stack
from treadle_train.networks.frames import Normalization
from treadle_train.networks.network import Network, qualified, unqualified, zero_padding

HISTORY = "history"


class Forecaster(Network):
    """y_s = r_s + (W · dropout(recurrent(window - x)))_s,   s = 1..S steps ahead, all at once.

    x is the frame, normalized; window the last W frames, x among them, which are state. So the
    recurrent layers read how the past differs from now: levels that training has not seen move the
    forecast and nothing else (as the subtraction of the last value in Zeng et al., "Are
    transformers effective for time series forecasting?", 2023). The reference r is the last value,
    or relative_to "season" that of the same place in the season before. Every quantile has an
    output of its own. The output starts at 0, so that training starts from the reference.

    channels: C; target: which of them is forecast; steps: S; quantiles: Q, 1 for the mean. Until
    the window is full, zeros (the mean of the training split) stand in it.
    """

    task = "forecasting"
    looped = True  # a window over time is simplest one step at a time, and then exact in chunks

    def __init__(
        self,
        channels: int,
        target: int,
        steps: int,
        quantiles: int = 1,
        hidden_size: int = 64,
        layers: int = 1,
        cell: str = "gru",
        season: int = 24,
        relative_to: str = "last",
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        *,
        variational_dropout: bool = False,
        residual: bool = False,
        layer_norm: bool = False,
        forget_bias: float = 0.0,
    ) -> None:
        super().__init__()
        self.channels, self.target, self.season = channels, target, season
        self.steps, self.quantiles = steps, quantiles
        self.normalization = Normalization(channels)
        self.recurrent = Stack(
            season * channels,
            hidden_size,
            layers,
            cell,
            dropout=dropout,
            recurrent_dropout=recurrent_dropout,
            variational_dropout=variational_dropout,
            residual=residual,
            layer_norm=layer_norm,
            forget_bias=forget_bias,
        )
        self.dropout = make_dropout(dropout, variational=variational_dropout)
        self.output = nn.Linear(hidden_size, steps * quantiles)
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)
        self.register_buffer("references", self._references(relative_to), persistent=False)

    @property
    def read(self) -> Port:
        """Frames of the channels."""
        return Port("frame", "float32", ("batch", self.channels))

    @property
    def deviation(self) -> float:
        """The target's deviation over the training split, by which errors are standardized."""
        return float(self.normalization.deviation[self.target])

    def initial_state(self, batch_size: int) -> State:
        """Zeros float32 [B, H] for every recurrent state, [B, W * C] for the window."""
        window = self.output.weight.new_zeros(batch_size, self.season * self.channels)
        recurrent = self.recurrent.initial_state(batch_size)
        return qualified("recurrent", recurrent) | {HISTORY: window}

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """One frame: x float32 [B, C] to (values ahead [B, S * Q] in the data's unit, state)."""
        normalized = self.normalization(x)
        window = torch.cat([state[HISTORY][:, self.channels :], normalized], dim=-1)
        hidden, end = self.recurrent.step(
            self._relative(window, normalized), unqualified("recurrent", state)
        )
        return self._ahead(window, hidden), qualified("recurrent", end) | {HISTORY: window}

    def sequence(self, x: Tensor, lengths: Tensor | None, state: State) -> tuple[Tensor, State]:
        """All frames: x float32 [B, T, C], lengths int64 [B] (None: all rows are full).

        To (values ahead [B, T, S * Q], zero where padded, state at each row's length).
        """
        normalized = self.normalization(x)
        before = state[HISTORY].reshape(-1, self.season, self.channels)
        frames = torch.cat([before[:, 1:], normalized], dim=1)
        windows = frames.unfold(1, self.season, 1).transpose(2, 3).flatten(2)
        hidden, end = self.recurrent.unroll(
            self._relative(windows, normalized), unqualified("recurrent", state), lengths
        )
        ends = torch.full((x.shape[0],), x.shape[1]) if lengths is None else lengths
        every = torch.cat([state[HISTORY][:, None], windows], dim=1)
        kept = every[torch.arange(x.shape[0]), ends]
        ahead = zero_padding(self._ahead(windows, hidden), lengths)
        return ahead, qualified("recurrent", end) | {HISTORY: kept}

    def arranged(self, ahead: Tensor) -> Tensor:
        """Values ahead [..., S * Q] as [..., S, Q]."""
        return ahead.reshape(*ahead.shape[:-1], self.steps, self.quantiles)

    def _references(self, relative_to: str) -> Tensor:
        """Which number of a window each output is relative to, int64 [S * Q]."""
        ahead = torch.arange(self.steps)
        frame = ahead % self.season if relative_to == "season" else ahead * 0 + self.season - 1
        return (frame * self.channels + self.target).repeat_interleave(self.quantiles)

    def _relative(self, window: Tensor, normalized: Tensor) -> Tensor:
        """Windows [..., W * C] without the level of their last frame [..., C]."""
        return window - torch.cat([normalized] * self.season, dim=-1)

    def _ahead(self, window: Tensor, hidden: Tensor) -> Tensor:
        """Values [..., S * Q] in the data's unit."""
        change: Tensor = self.output(self.dropout(hidden))
        reference = window.index_select(-1, self.get_buffer("references"))
        mean, deviation = self.normalization.mean, self.normalization.deviation
        return (reference + change) * deviation[self.target] + mean[self.target]
