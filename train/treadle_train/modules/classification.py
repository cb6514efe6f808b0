"""The loss of a classifier, and its figure on the validation split."""

import torch
from torch import Tensor
from torch.nn import functional
from typing_extensions import override

from treadle.metrics import accuracy, macro_f1
from treadle_train.batching.labelled import LabelledBatch
from treadle_train.distillation import distillation_loss
from treadle_train.modules.base import TaskModule, Totals
from treadle_train.networks import Classifier
from treadle_train.recipe import ClassifierRecipe

_FIGURES = {"accuracy": accuracy, "macro_f1": macro_f1}


class ClassifierModule(TaskModule[Classifier]):
    """Cross-entropy of the label of each sequence, with label smoothing while training."""

    validation_lists = ("predictions", "answers")

    def __init__(self, network: Classifier, recipe: ClassifierRecipe, steps: int) -> None:
        super().__init__(network, recipe.training, steps)
        self.metric = recipe.metric
        self.predictions: list[str] = []
        self.answers: list[str] = []

    def loss(self, batch: LabelledBatch) -> tuple[Tensor, int]:
        """Mean cross-entropy over the sequences."""
        logits = self.network.classify(batch.x, batch.lengths)
        if self.training and self.teachers:
            with torch.no_grad():
                taught = self.teachers[0].classify(batch.x, batch.lengths)
            counted = torch.ones_like(batch.labels, dtype=torch.bool)
            return distillation_loss(logits, taught, counted), len(batch.labels)
        return self._cross_entropy(logits, batch.labels), len(batch.labels)

    def _cross_entropy(self, logits: Tensor, labels: Tensor) -> Tensor:
        smoothing = self.section.label_smoothing if self.training else 0.0
        return functional.cross_entropy(logits.float(), labels, label_smoothing=smoothing)

    @override
    def on_validation_epoch_start(self) -> None:
        """Forget the figures of the validation before."""
        self.validation_totals = Totals()
        self.predictions, self.answers = [], []

    @override
    def validation_step(self, batch: LabelledBatch, batch_index: int) -> None:
        """Count the loss of one batch and what it answers."""
        logits = self.network.classify(batch.x, batch.lengths)
        loss = self._cross_entropy(logits, batch.labels)
        self.validation_totals.add(loss.item(), len(batch.labels))
        self.predictions += map(str, logits.argmax(-1).tolist())
        self.answers += map(str, batch.labels.tolist())

    def figures(self) -> dict[str, float]:
        """The recipe's metric in percent, and the loss."""
        return {
            self.metric: _FIGURES[self.metric](self.predictions, self.answers),
            "loss": self.validation_totals.mean,
        }

    def carried_state(self) -> dict[str, Tensor]:
        """Nothing: sequences are independent."""
        return {}

    def restore_carried(self, state: dict[str, Tensor]) -> None:
        """Nothing to take back."""
