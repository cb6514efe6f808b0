"""The loss of a forecaster, its state carried from batch to batch.

Notation: B lanes, T time, S steps ahead, Q quantiles.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from typing_extensions import override

from treadle.forecast_errors import HorizonErrors, differences, horizon_errors, mean_over
from treadle_train.batching.series_lanes import SeriesBatch
from treadle_train.modules.base import Totals
from treadle_train.modules.carrying import CarryingModule, without_gradient
from treadle_train.networks import Forecaster
from treadle_train.recipe import ErrorName, ForecasterRecipe

_FRAMES = 512  # read at once where nothing is learned


class ForecasterModule(CarryingModule[Forecaster]):
    """Squared errors for the mean, or the pinball loss of each quantile, of standardized values.

    Koenker & Bassett, "Regression quantiles", 1978. Truncated back-propagation through time: the
    state goes on from batch to batch, its gradient does not. What fresh lanes say before their
    window is full does not count. A validation batch is a whole series, float32 [1, time, C].
    """

    def __init__(self, network: Forecaster, recipe: ForecasterRecipe, steps: int) -> None:
        super().__init__(network, recipe.training, steps)
        self.metric = recipe.metric
        self.horizons, self.quantiles = recipe.network.horizons, recipe.network.quantiles
        self.errors: tuple[HorizonErrors, ...] = ()

    def loss(self, batch: SeriesBatch) -> tuple[Tensor, int]:
        """Mean loss over steps, quantiles and all frames that count; moves the state on."""
        ahead, self.carried = _read(self.network, batch, self.carried)
        expected = batch.targets[..., None]
        if self.training and self.teachers:
            with torch.no_grad():
                expected, self.teacher_carried = _read(
                    self.teachers[0], batch, self.teacher_carried
                )
        first = self.network.season - 1 if batch.fresh else 0
        off = (ahead - expected)[:, first:].float() / self.network.deviation
        return self._loss(off), off.shape[0] * off.shape[1]

    def _loss(self, off: Tensor) -> Tensor:
        """The mean loss of differences [..., S, Q], forecast less what it should be."""
        if not self.quantiles or (self.training and self.teachers):
            return (off**2).mean()
        shares = torch.tensor(self.quantiles, device=off.device)
        return torch.maximum(-shares * off, (1 - shares) * off).mean()

    @override
    def validation_step(self, batch: Tensor, batch_index: int) -> None:
        """Measure the forecasts after every frame of a series."""
        [frames], network = batch, self.network
        forecasts = forecasts_of(network, frames)
        self.errors = errors_of(network, frames, forecasts, self.horizons, self.quantiles)
        off = differences(
            forecasts.numpy(),
            frames[:, network.target].cpu().numpy(),
            network.steps,
            first=network.season - 1,
        )
        loss = self._loss(torch.from_numpy(off / network.deviation).float())
        self.validation_totals = Totals(loss.item() * len(off), len(off))

    def figures(self) -> dict[str, float]:
        """The recipe's metric and the other one, means over horizons, and the loss."""
        names: list[ErrorName] = ["mse", "mae"]
        names.sort(key=lambda name: name != self.metric)
        figures: dict[str, float] = {name: mean_over(self.errors, name) for name in names}
        return figures | {"loss": self.validation_totals.mean}


def _read(
    network: Forecaster, batch: SeriesBatch, carried: dict[str, Tensor]
) -> tuple[Tensor, dict[str, Tensor]]:
    """Values ahead [B, T, S, Q], and the state that the next batch goes on from."""
    state = network.initial_state(batch.frames.shape[0]) if batch.fresh else carried
    ahead, state = network.sequence(batch.frames, None, state)
    return network.arranged(ahead), without_gradient(state)


@torch.no_grad()
def forecasts_of(network: Forecaster, frames: Tensor) -> Tensor:
    """Values ahead [N, S, Q] on the CPU after every frame [N, C], the state carried; Q in order."""
    state, made = network.initial_state(1), []
    for part in torch.split(frames, _FRAMES):
        ahead, state = network.sequence(part[None], None, state)
        made.append(network.arranged(ahead)[0].sort(dim=-1).values)
    return torch.cat(made).cpu()


def errors_of(
    network: Forecaster,
    frames: Tensor,
    forecasts: Tensor,
    horizons: Sequence[int],
    quantiles: Sequence[float],
) -> tuple[HorizonErrors, ...]:
    """The errors of the central ones of `forecasts_of` frames [N, C], at each horizon.

    Forecasts count once a season was read.
    """
    return horizon_errors(
        forecasts[..., quantiles.index(0.5) if quantiles else 0].numpy(),
        frames[:, network.target].cpu().numpy(),
        horizons,
        first=network.season - 1,
        deviation=network.deviation,
    )
