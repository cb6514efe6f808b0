"""The loss of a transducer, and its word error rate on the validation split."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional
from typing_extensions import override

from treadle.metrics import word_error_rate
from treadle_train.batching.bucketed import IGNORED, PairBatch
from treadle_train.distillation import distillation_loss
from treadle_train.greedy import decode_greedily
from treadle_train.modules.base import TaskModule, Totals
from treadle_train.modules.scheduled_sampling import own_inputs
from treadle_train.networks import Transducer
from treadle_train.recipe import TransducerRecipe

Words = tuple[Tensor, Tensor, Sequence[Sequence[tuple[int, ...]]]]
"""Sources int64 [B, S], their lengths int64 [B], every right answer of each as ids."""


class TransducerModule(TaskModule[Transducer]):
    """Teacher forcing with label smoothing and scheduled sampling; validation decodes greedily.

    A validation batch is (PairBatch, Words): the loss is over pairs, the word error rate over
    words, of which any listed answer counts.
    """

    validation_lists = ("predictions", "answers")

    def __init__(
        self, network: Transducer, recipe: TransducerRecipe, steps: int, start: int, end: int
    ) -> None:
        super().__init__(network, recipe.training, steps)
        self.start, self.end = start, end
        self.max_length = recipe.decoding.max_length
        self.scheduled_sampling = recipe.training.scheduled_sampling
        self.predictions: list[list[int]] = []
        self.answers: list[Sequence[tuple[int, ...]]] = []

    def loss(self, batch: PairBatch) -> tuple[Tensor, int]:
        """Mean cross-entropy over all target symbols, padding left out.

        The decoder is causal, so what it makes of padded steps reaches no counted one: it may
        run as if all rows were full, which is faster.
        """
        if self.training and self.scheduled_sampling:
            share = self.scheduled_sampling * self.position.step / self.total_steps
            batch = batch._replace(inputs=own_inputs(self.network, batch, share))
        logits = _forced(self.network, batch)
        counted = batch.targets != IGNORED
        if self.training and self.teachers:
            with torch.no_grad():
                taught = _forced(self.teachers[0], batch)
            return distillation_loss(logits, taught, counted), int(counted.sum())
        loss = functional.cross_entropy(
            logits.flatten(0, 1).float(),
            batch.targets.flatten(),
            ignore_index=IGNORED,
            label_smoothing=self.section.label_smoothing,
        )
        return loss, int(counted.sum())

    @override
    def on_validation_epoch_start(self) -> None:
        """Forget the figures of the validation before."""
        self.validation_totals = Totals()
        self.predictions, self.answers = [], []

    @override
    def validation_step(self, batch: tuple[PairBatch, Words], batch_index: int) -> None:
        """Count the loss of the pairs and decode the words."""
        pairs, (source, lengths, answers) = batch
        loss, symbols = self.loss(pairs)
        self.validation_totals.add(loss.item(), symbols)
        with torch.inference_mode():
            self.predictions += decode_greedily(
                self.network, source, lengths, self.start, self.end, self.max_length
            )
        self.answers += answers

    def figures(self) -> dict[str, float]:
        """Word error rate in percent, and the loss."""
        predictions = [[str(i) for i in ids] for ids in self.predictions]
        answers = [[tuple(map(str, ids)) for ids in listed] for listed in self.answers]
        return {
            "word_error_rate": word_error_rate(predictions, answers),
            "loss": self.validation_totals.mean,
        }

    def carried_state(self) -> dict[str, Tensor]:
        """Nothing: pairs are independent."""
        return {}

    def restore_carried(self, state: dict[str, Tensor]) -> None:
        """Nothing to take back."""


def _forced(network: Transducer, batch: PairBatch) -> Tensor:
    """Logits [B, T, V] under teacher forcing."""
    context, initial = network.encode(batch.source, batch.source_lengths)
    state = network.initial_state(batch.source.shape[0]) | initial
    return network.sequence(batch.inputs, None, state, context)[0]
