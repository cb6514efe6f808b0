"""An average of the weights along training, which is what validation sees and a run keeps."""

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel


class WeightAverage:
    """Each weight's exponential moving average over the steps of the optimizer.

        average ← d · average + (1 − d) · weight,    d = min(decay, (1 + n) / (10 + n))

    after the step n; so what training began with is soon forgotten. Polyak & Juditsky,
    "Acceleration of stochastic approximation by averaging", 1992; the growing d is that of
    TensorFlow's ExponentialMovingAverage. `put` lets the network compute with the averages until
    `take_back`; the optimizer never sees them.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = network
        self.decay = decay
        self.averaged = AveragedModel(network, multi_avg_fn=self._move)
        self._behind: dict[str, Tensor] = {}

    def update(self) -> None:
        """Count the weights that a step has left; the first ones are the average themselves."""
        self.averaged.update_parameters(self.network)

    def weights(self) -> dict[str, Tensor]:
        """The averages by the names of the network's parameters."""
        return dict(self.averaged.module.state_dict())

    def put(self) -> None:
        """Put the averages into the network."""
        averages = dict(self.averaged.module.named_parameters())
        for name, parameter in self.network.named_parameters():
            self._behind.setdefault(name, parameter.data)
            parameter.data = averages[name].data

    def take_back(self) -> None:
        """Put back the weights that the optimizer moves."""
        for name, weights in self._behind.items():
            self.network.get_parameter(name).data = weights
        self._behind = {}

    def state(self) -> dict[str, Tensor]:
        """What a checkpoint keeps of this."""
        return dict(self.averaged.state_dict())

    def restore(self, state: dict[str, Tensor]) -> None:
        """Go on from what `state` gave."""
        self.averaged.load_state_dict(state)

    @torch.no_grad()
    def _move(
        self,
        averages: list[Tensor] | tuple[Tensor, ...],
        weights: list[Tensor] | tuple[Tensor, ...],
        count: Tensor | int,
    ) -> None:
        decay = min(self.decay, (1 + int(count)) / (10 + int(count)))
        for average, weight in zip(averages, weights, strict=True):
            average.lerp_(weight, 1 - decay)
