"""The optimization that all tasks share."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import lightning
import torch
from torch import Tensor, nn
from typing_extensions import override

from treadle_train.networks import Network
from treadle_train.quantization.fake import SCALES, FakeQuantization
from treadle_train.recipe import TrainingSection

N = TypeVar("N", bound=Network)


@dataclass
class Position:
    """Where training stands. `batch` counts within the epoch, `step` over all epochs."""

    epoch: int = 0
    batch: int = 0
    step: int = 0


@dataclass
class Totals:
    """Sums over batches, from which means are taken."""

    loss: float = 0.0
    symbols: int = 0

    def add(self, loss: float, symbols: int) -> None:
        """Count a batch whose mean loss over `symbols` symbols is `loss`."""
        self.loss += loss * symbols
        self.symbols += symbols

    @property
    def mean(self) -> float:
        """Mean loss a symbol."""
        return self.loss / max(self.symbols, 1)


class TaskModule(lightning.LightningModule, ABC, Generic[N]):
    """A network with its loss: Adam, one-cycle learning rate, random state from (seed, step).

    torch is seeded anew at each step, so dropout depends on the step only and a resumed run
    continues as if it had never stopped.

    rounding: what rounds the weights in every forward pass, if anything; its scales are searched
    until the step `last_search`. teachers: the network whose answers training learns in place of
    the labels, if any; in a list, so that it is no submodule, and nothing trains it.
    """

    def __init__(self, network: N, section: TrainingSection, steps: int) -> None:
        super().__init__()
        self.network = network
        self.section = section
        self.total_steps = steps
        self.position = Position()
        self.train_totals = Totals()
        self.validation_totals = Totals()
        self.rounding: FakeQuantization | None = None
        self.last_search = 0
        self.teachers: list[N] = []

    def trained_weights(self) -> dict[str, Tensor]:
        """The network's weights as its forward passes see them; with scales where it rounds."""
        weights = dict(self.network.state_dict())
        if self.rounding is not None:
            weights |= self.rounding.rounded()
            weights |= {f"{SCALES}{name}": scale for name, scale in self.rounding.scales.items()}
        return weights

    @abstractmethod
    def loss(self, batch: Any) -> tuple[Tensor, int]:
        """(Mean loss over the batch's symbols, how many symbols)."""

    @abstractmethod
    def figures(self) -> dict[str, float]:
        """What validation measured, by name, the figure that selects the best epoch first."""

    @abstractmethod
    def carried_state(self) -> dict[str, Tensor]:
        """What the next batch needs of the one before; empty where batches are independent."""

    @abstractmethod
    def restore_carried(self, state: dict[str, Tensor]) -> None:
        """Take back what `carried_state` gave."""

    @override
    def training_step(self, batch: Any, batch_index: int) -> Tensor:
        """The loss of one batch."""
        torch.manual_seed((self.section.seed << 32) + self.position.step)
        loss, symbols = self.loss(batch)
        self.train_totals.add(loss.item(), symbols)
        return loss

    @override
    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Clip the gradient to the recipe's norm."""
        if self.section.gradient_clip:
            nn.utils.clip_grad_norm_(self.network.parameters(), self.section.gradient_clip)

    @override
    def configure_optimizers(self) -> Any:
        """Adam under a one-cycle schedule over all steps of the recipe."""
        optimizer = torch.optim.Adam(
            self.network.parameters(), self.section.learning_rate, fused=True
        )
        total = self.total_steps + 1  # the schedule counts the state before step one
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer,
            self.section.learning_rate,
            total_steps=total,
            pct_start=max(self.section.warmup, 2 / total),  # a shorter rise divides by zero
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }
