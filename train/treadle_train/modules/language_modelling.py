"""The loss of a language model, its state carried from batch to batch."""

import math

import torch
from torch import Tensor
from torch.nn import functional
from typing_extensions import override

from treadle_train.batching.lanes import LaneBatch
from treadle_train.bundled import figure_of
from treadle_train.distillation import distillation_loss
from treadle_train.modules.base import Totals
from treadle_train.modules.carrying import CarryingModule, without_gradient
from treadle_train.networks import LanguageModel
from treadle_train.recipe import LanguageModelRecipe


class LanguageModelModule(CarryingModule[LanguageModel]):
    """Truncated back-propagation through time (Williams & Peng 1990; Mikolov et al. 2010).

    The state goes on from batch to batch, its gradient does not. characters_per_symbol: of the
    validation text, for bits per character.
    """

    validation_lists = ()

    def __init__(
        self,
        network: LanguageModel,
        recipe: LanguageModelRecipe,
        steps: int,
        characters_per_symbol: float = 1.0,
    ) -> None:
        super().__init__(network, recipe.training, steps)
        self.metric = figure_of(recipe)
        self.characters_per_symbol = characters_per_symbol

    def loss(self, batch: LaneBatch) -> tuple[Tensor, int]:
        """Mean cross-entropy over all symbols; moves the carried state on."""
        logits, self.carried = _read(self.network, batch, self.carried)
        if self.training and self.teachers:
            return self._taught_loss(batch, logits), batch.targets.numel()
        smoothing = self.section.label_smoothing if self.training else 0.0
        loss = functional.cross_entropy(
            logits.flatten(0, 1).float(), batch.targets.flatten(), label_smoothing=smoothing
        )
        return loss, batch.targets.numel()

    def _taught_loss(self, batch: LaneBatch, logits: Tensor) -> Tensor:
        with torch.no_grad():
            taught, self.teacher_carried = _read(self.teachers[0], batch, self.teacher_carried)
        return distillation_loss(logits, taught, torch.ones_like(batch.targets, dtype=torch.bool))

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
        """Bits per character or perplexity, and the loss in nats."""
        mean = self.validation_totals.mean
        if self.metric == "perplexity":
            return {"perplexity": math.exp(mean), "loss": mean}
        bits = mean / math.log(2) / self.characters_per_symbol
        return {"bits_per_character": bits, "loss": mean}


def _read(
    network: LanguageModel, batch: LaneBatch, carried: dict[str, Tensor]
) -> tuple[Tensor, dict[str, Tensor]]:
    """Logits [B, T, V], and the state that the next batch goes on from."""
    state = network.initial_state(batch.inputs.shape[0]) if batch.fresh else carried
    logits, state = network.sequence(batch.inputs, None, state)
    return logits, without_gradient(state)
