"""The loss of a generator, and how likely it holds the validation split."""

import math

import torch
from torch import Tensor
from torch.nn import functional
from typing_extensions import override

from treadle_train.batching.bucketed import IGNORED
from treadle_train.batching.conditioned import ConditionedBatch
from treadle_train.distillation import distillation_loss
from treadle_train.modules.base import TaskModule, Totals
from treadle_train.networks import Generator
from treadle_train.recipe import GeneratorRecipe


class GeneratorModule(TaskModule[Generator]):
    """Teacher forcing: cross-entropy of every symbol and the end, label smoothing in training."""

    validation_lists = ()

    def __init__(self, network: Generator, recipe: GeneratorRecipe, steps: int) -> None:
        super().__init__(network, recipe.training, steps)
        self.metric = recipe.metric

    def loss(self, batch: ConditionedBatch) -> tuple[Tensor, int]:
        """Mean cross-entropy over all symbols, padding left out."""
        logits = forced(self.network, batch)
        counted = batch.targets != IGNORED
        if self.training and self.teachers:
            with torch.no_grad():
                taught = forced(self.teachers[0], batch)
            return distillation_loss(logits, taught, counted), int(counted.sum())
        loss = functional.cross_entropy(
            logits.flatten(0, 1).float(),
            batch.targets.flatten(),
            ignore_index=IGNORED,
            label_smoothing=self.section.label_smoothing if self.training else 0.0,
        )
        return loss, int(counted.sum())

    @override
    def on_validation_epoch_start(self) -> None:
        """Forget the figures of the validation before."""
        self.validation_totals = Totals()

    @override
    def validation_step(self, batch: ConditionedBatch, batch_index: int) -> None:
        """Count the loss of one batch."""
        loss, symbols = self.loss(batch)
        self.validation_totals.add(loss.item(), symbols)

    def figures(self) -> dict[str, float]:
        """The recipe's metric, and the loss in nats a symbol."""
        mean = self.validation_totals.mean
        figure = math.exp(mean) if self.metric == "perplexity" else mean
        return {self.metric: figure, "loss": mean}

    def carried_state(self) -> dict[str, Tensor]:
        """Nothing: sequences are independent."""
        return {}

    def restore_carried(self, state: dict[str, Tensor]) -> None:
        """Nothing to take back."""


def forced(network: Generator, batch: ConditionedBatch) -> Tensor:
    """Logits [B, T, V] under teacher forcing.

    The network is causal, so what it makes of padded steps reaches no counted one: it may run as if
    all rows were full, which is faster.
    """
    context, initial = network.given(batch.given)
    state = network.initial_state(len(batch.inputs)) | initial
    return network.sequence(batch.inputs, None, state, context)[0]
