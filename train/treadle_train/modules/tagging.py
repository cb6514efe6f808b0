"""The loss of a tagger, and its figure on the validation split."""

from itertools import chain

import torch
from torch import Tensor
from torch.nn import functional
from typing_extensions import override

from treadle.metrics import accuracy, span_f1
from treadle.spans import OUTSIDE
from treadle_train.batching.bucketed import IGNORED
from treadle_train.batching.labelled import LabelledBatch
from treadle_train.distillation import distillation_loss
from treadle_train.modules.base import TaskModule, Totals
from treadle_train.networks import Tagger
from treadle_train.recipe import TaggerRecipe


class TaggerModule(TaskModule[Tagger]):
    """Mean nats a token: cross-entropy of each tag, or with a CRF the likelihood of all together.

    Where most tokens are outside of all spans, a likelihood is best served by doubting spans. With
    `outside_cost` the score of "O" is so much higher in training wherever a span is, which makes
    the loss of missing it larger: a softmax-margin (Gimpel & Smith, "Softmax-margin CRFs", 2010;
    for the recall of entities Mohit et al., "Recall-oriented learning of named entities", 2012).

    tags: their names, in the order of the logits.
    """

    validation_lists = ("found", "right")

    def __init__(
        self, network: Tagger, recipe: TaggerRecipe, steps: int, tags: tuple[str, ...]
    ) -> None:
        super().__init__(network, recipe.training, steps)
        self.outside_cost = recipe.training.outside_cost
        self.outside = tags.index(OUTSIDE) if OUTSIDE in tags else -1
        self.metric, self.tags = recipe.metric, tags
        self.found: list[list[str]] = []
        self.right: list[list[str]] = []

    def loss(self, batch: LabelledBatch) -> tuple[Tensor, int]:
        """Mean over the tokens, of which there are so many.

        From a teacher the logits are learnt: where they agree but for a number a step, so do the
        tags that a conditional random field chooses by them.
        """
        logits = self.network.emissions(batch.x, batch.lengths)
        tokens = int(batch.lengths.sum())
        if self.training and self.teachers:
            with torch.no_grad():
                taught = self.teachers[0].emissions(batch.x, batch.lengths)
            return distillation_loss(logits, taught, batch.labels != IGNORED), tokens
        return self._nats(logits, batch) / tokens, tokens

    def _nats(self, logits: Tensor, batch: LabelledBatch) -> Tensor:
        """Nats of all tags of the batch; in training with the cost of what is missed."""
        if self.training and self.outside_cost:
            inside = (batch.labels != self.outside)[..., None]
            costs = logits.new_zeros(logits.shape[-1])
            costs[self.outside] = self.outside_cost
            logits = logits + inside * costs
        if self.network.crf is not None:
            nats: Tensor = self.network.crf(logits, batch.labels, batch.lengths).sum()
            return nats
        return functional.cross_entropy(
            logits.float().flatten(0, 1),
            batch.labels.flatten(),
            ignore_index=IGNORED,
            label_smoothing=self.section.label_smoothing if self.training else 0.0,
            reduction="sum",
        )

    @override
    def on_validation_epoch_start(self) -> None:
        """Forget the figures of the validation before."""
        self.validation_totals = Totals()
        self.found, self.right = [], []

    @override
    def validation_step(self, batch: LabelledBatch, batch_index: int) -> None:
        """Count the loss of one batch and what it answers."""
        tokens = int(batch.lengths.sum())
        logits = self.network.emissions(batch.x, batch.lengths)
        self.validation_totals.add(self._nats(logits, batch).item() / tokens, tokens)
        for kept, ids in (
            (self.found, self.network.tag(batch.x, batch.lengths)),
            (self.right, batch.labels),
        ):
            rows = zip(ids.tolist(), batch.lengths.tolist(), strict=True)
            kept += [[self.tags[index] for index in row[:length]] for row, length in rows]

    def figures(self) -> dict[str, float]:
        """The recipe's metric in percent, and the loss."""
        value = (
            span_f1(self.found, self.right)
            if self.metric == "span_f1"
            else accuracy([*chain(*self.found)], [*chain(*self.right)])
        )
        return {self.metric: value, "loss": self.validation_totals.mean}

    def carried_state(self) -> dict[str, Tensor]:
        """Nothing: sentences are independent."""
        return {}

    def restore_carried(self, state: dict[str, Tensor]) -> None:
        """Nothing to take back."""
