"""The optimization that all tasks share."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

import lightning
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau
from typing_extensions import override

from treadle.metrics import as_loss
from treadle_train.batching.order import batch_seed
from treadle_train.modules.averaging import WeightAverage
from treadle_train.modules.divergence import check_finite
from treadle_train.modules.optimization import make_optimizer, make_schedule
from treadle_train.networks import Network
from treadle_train.processes.group import Group
from treadle_train.processes.shares import Share, state_share, whole_state
from treadle_train.quantization.fake import SCALES, FakeQuantization
from treadle_train.sections.training import TrainingSection

if TYPE_CHECKING:
    from treadle_train.modules.held import HeldEntries

N = TypeVar("N", bound=Network)


@dataclass
class Position:
    """Where training stands, in batches: `batch` counts within the epoch, `step` over all."""

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
    """A network with its loss, the recipe's optimization, and random state from (seed, step).

    torch is seeded anew at each batch, so dropout depends on the position only and a resumed run
    continues as if it had never stopped. total_steps: batches over the whole recipe.

    held: entries of parameters that stay as they are when training starts.

    schedule: the learning rate's, there once the optimizer is. average: of the weights, if the
    recipe asks for one.

    group: the processes that train together. validation_lists: what a validation step appends to,
    so that each process may validate a share; None where only the whole can be measured, and every
    process measures it.

    rounding: what rounds the weights in every forward pass, if anything; its scales are searched
    until the step `last_search`. teachers: the network whose answers training learns in place of
    the labels, if any; in a list, so that it is no submodule, and nothing trains it.
    """

    validation_lists: ClassVar[tuple[str, ...] | None] = None

    def __init__(self, network: N, section: TrainingSection, steps: int) -> None:
        super().__init__()
        self.network = network
        self.group = Group()
        self.shares_validation = False
        self.section = section
        self.total_steps = steps
        self.position = Position()
        self.train_totals = Totals()
        self.validation_totals = Totals()
        self.rounding: FakeQuantization | None = None
        self.last_search = 0
        self.teachers: list[N] = []
        self.held: list[HeldEntries] = []
        self.schedule: LRScheduler | None = None
        self.average = WeightAverage(network, section.average) if section.average else None
        self._accumulated = 0  # symbols since the last step of the optimizer, in all processes
        self._counted = True  # whether the last batch was this process's to count

    def trained_weights(self) -> dict[str, Tensor]:
        """The network's weights as validation sees them; with scales where it rounds."""
        if self.average is not None:
            return self.average.weights()
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
    def on_train_start(self) -> None:
        """Bring to the device what is no submodule.

        What is to be held is as the checkpoint, or the run to start from, has it.
        """
        for held in self.held:
            held.take()
        if self.average is not None:
            self.average.averaged.to(self.device)
        carried = self.carried_state()
        self.restore_carried({name: value.to(self.device) for name, value in carried.items()})

    @override
    def training_step(self, batch: Any, batch_index: int) -> Tensor:
        """The loss of one batch, or times its symbols where batches or processes add up.

        Raises TrainingError when it is not finite.
        """
        torch.manual_seed(batch_seed(self.section.seed, self.position.step, self.group.rank))
        if isinstance(batch, Share):
            batch, self._counted = batch
        loss, symbols = self.loss(batch)
        symbols = symbols if self._counted else 0
        value, all_symbols = self.group.mean(loss.item(), symbols)
        self.check_finite("loss", value)
        self.train_totals.add(value, all_symbols)
        if self._one_loss_a_step:
            return loss
        self._accumulated += all_symbols
        return loss * symbols * self.section.accumulate  # by which Lightning divides

    @property
    def _one_loss_a_step(self) -> bool:
        """Whether the gradient is that of one loss, and its mean taken already."""
        return self.section.accumulate == 1 and self.group.count == 1

    @override
    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Make the gradient that of the mean over all symbols, and clip it.

        Raises TrainingError when its norm is not finite.
        """
        gradients = [p.grad for p in self.network.parameters() if p.grad is not None]
        if not self._one_loss_a_step:
            for gradient in gradients:  # the mean over processes, as DDP leaves it
                gradient.div_(self._accumulated / self.group.count)
            self._accumulated = 0
        if self.section.clip_value:
            nn.utils.clip_grad_value_(self.network.parameters(), self.section.clip_value)
        if self.section.gradient_clip:
            limit = self.section.gradient_clip
            norm = nn.utils.clip_grad_norm_(self.network.parameters(), limit)
        else:
            norm = nn.utils.get_total_norm(gradients)
        self.check_finite("norm of the gradient", norm.item())

    def check_finite(self, what: str, value: float) -> None:
        """Raise TrainingError unless `value`, the `what` of this step, is finite."""
        rate = self.trainer.optimizers[0].param_groups[0]["lr"]
        check_finite(what, value, step=self.position.step, rate=rate)

    @override
    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """A step of the optimizer, which the average of weights follows."""
        super().optimizer_step(*args, **kwargs)
        for held in self.held:
            held.restore()
        if self.average is not None:
            self.average.update()

    @override
    def on_validation_epoch_end(self) -> None:
        """Join what the processes have measured; let a schedule that follows the figure see it."""
        if self.shares_validation:
            self._join_validation()
        if isinstance(self.schedule, ReduceLROnPlateau):
            name, value = next(iter(self.figures().items()))
            self.schedule.step(as_loss(name, value))

    def _join_validation(self) -> None:
        names = self.validation_lists or ()
        own = self.validation_totals, [getattr(self, name) for name in names]
        parts = self.group.gathered(own)
        self.validation_totals = Totals(
            sum(totals.loss for totals, _ in parts), sum(totals.symbols for totals, _ in parts)
        )
        for index, name in enumerate(names):
            setattr(self, name, [one for _, lists in parts for one in lists[index]])

    def whole_carried(self) -> dict[str, Tensor]:
        """What the next batch needs of the one before, for the rows of all processes."""
        return whole_state(self.group.gathered((self.carried_state(), self._counted)))

    def restore_whole_carried(self, state: dict[str, Tensor]) -> None:
        """Take back this process's part of what `whole_carried` gave."""
        self.restore_carried(state_share(state, self.group))

    @override
    def configure_optimizers(self) -> Any:
        """The recipe's optimizer, and its schedule over all steps of the recipe."""
        epochs, batches = self.section.epochs, self.total_steps // self.section.epochs
        steps = epochs * -(-batches // self.section.accumulate)
        optimizer = make_optimizer(self.network, self.section)
        self.schedule = make_schedule(optimizer, self.section, steps)
        if isinstance(self.schedule, ReduceLROnPlateau):
            return optimizer  # Lightning would move the schedule after the checkpoint
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": self.schedule, "interval": "step"},
        }
