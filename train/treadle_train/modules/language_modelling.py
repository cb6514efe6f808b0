"""The loss of a language model, its state carried from batch to batch."""

import math

from torch import Tensor
from torch.nn import functional
from typing_extensions import override

from treadle_train.batching.lanes import LaneBatch
from treadle_train.modules.base import TaskModule, Totals
from treadle_train.networks import LanguageModel
from treadle_train.recipe import LanguageModelRecipe


class LanguageModelModule(TaskModule[LanguageModel]):
    """Truncated back-propagation through time (Williams & Peng 1990; Mikolov et al. 2010).

    The state goes on from batch to batch, its gradient does not.
    """

    def __init__(self, network: LanguageModel, recipe: LanguageModelRecipe, steps: int) -> None:
        super().__init__(network, recipe.training, steps)
        self.carried: dict[str, Tensor] = {}

    def loss(self, batch: LaneBatch) -> tuple[Tensor, int]:
        """Mean cross-entropy over all symbols; moves the carried state on."""
        rows = batch.inputs.shape[0]
        state = self.network.initial_state(rows) if batch.fresh else self.carried
        logits, state = self.network.sequence(batch.inputs, None, state)
        self.carried = {name: value.detach().float() for name, value in state.items()}
        smoothing = self.section.label_smoothing if self.training else 0.0
        loss = functional.cross_entropy(
            logits.flatten(0, 1).float(), batch.targets.flatten(), label_smoothing=smoothing
        )
        return loss, batch.targets.numel()

    @override
    def on_validation_epoch_start(self) -> None:
        """Forget the figures of the validation before."""
        self.validation_totals = Totals()

    @override
    def validation_step(self, batch: LaneBatch, batch_index: int) -> None:
        """Count the loss of one batch."""
        loss, symbols = self.loss(batch)
        self.validation_totals.add(loss.item(), symbols)

    def figures(self) -> dict[str, float]:
        """Bits per character, and the loss in nats."""
        mean = self.validation_totals.mean
        return {"bits_per_character": mean / math.log(2), "loss": mean}

    def carried_state(self) -> dict[str, Tensor]:
        """The state at the end of the last batch."""
        return dict(self.carried)

    def restore_carried(self, state: dict[str, Tensor]) -> None:
        """Go on from a state that `carried_state` gave."""
        self.carried = dict(state)
