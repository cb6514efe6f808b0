"""The loss of a transducer, and its figure on the validation split."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional
from typing_extensions import override

from treadle.text_metrics import TEXT_FIGURES, different, hits_at
from treadle.texts import TextReading
from treadle_train.batching.bucketed import IGNORED, PairBatch
from treadle_train.distillation import distillation_loss
from treadle_train.greedy import decode_greedily
from treadle_train.modules.base import TaskModule, Totals
from treadle_train.modules.scheduled_sampling import own_inputs
from treadle_train.networks import Transducer
from treadle_train.ranking import rank_answers
from treadle_train.recipe import TransducerRecipe


class Questions(NamedTuple):
    """What validation asks, and every right answer to each as the vocabulary writes it."""

    source: Tensor  # int64 [B, S]
    lengths: Tensor  # int64 [B]
    answers: Sequence[Sequence[str]]


class TransducerModule(TaskModule[Transducer]):
    """Teacher forcing with label smoothing and scheduled sampling; validation decodes greedily.

    A validation batch is (PairBatch or None, Questions): the loss is over pairs, the figure over
    sources, of which any listed answer counts. target: how answers are read.
    """

    validation_lists = ("predictions", "sources", "answers")

    def __init__(
        self, network: Transducer, recipe: TransducerRecipe, steps: int, target: TextReading
    ) -> None:
        super().__init__(network, recipe.training, steps)
        self.metric, self.decoding, self.target = recipe.metric, recipe.decoding, target
        self.scheduled_sampling = recipe.training.scheduled_sampling
        self.predictions: list[str] = []
        self.sources: list[list[int]] = []
        self.answers: list[Sequence[str]] = []

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
        self.predictions, self.sources, self.answers = [], [], []

    @override
    def validation_step(self, batch: tuple[PairBatch | None, Questions], batch_index: int) -> None:
        """Count the loss of the pairs, and answer the sources where the metric is of answers."""
        pairs, asked = batch
        if pairs is not None:
            loss, symbols = self.loss(pairs)
            self.validation_totals.add(loss.item(), symbols)
        if self.metric in TEXT_FIGURES:
            self.predictions += self._answered(asked)
        rows = zip(asked.source.tolist(), asked.lengths.tolist(), strict=True)
        self.sources += [row[:length] for row, length in rows]
        self.answers += asked.answers

    def _answered(self, asked: Questions) -> list[str]:
        vocabulary = self.target.vocabulary
        start, end = vocabulary.start or 0, vocabulary.end or 0
        with torch.inference_mode():
            found = decode_greedily(
                self.network, asked.source, asked.lengths, start, end, self.decoding.max_length
            )
        return list(map(vocabulary.text, found))

    def figures(self) -> dict[str, float]:
        """The recipe's metric, and the loss."""
        return {self.metric: self._figure(), "loss": self.validation_totals.mean}

    def _figure(self) -> float:
        if self.metric in TEXT_FIGURES:
            return TEXT_FIGURES[self.metric](self.predictions, self.answers)
        answers, right = different(self.answers)
        alpha = self.decoding.length_penalty
        with torch.inference_mode():
            scores = rank_answers(self.network, self.sources, answers, self.target, alpha)
        return hits_at(scores, right)

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
