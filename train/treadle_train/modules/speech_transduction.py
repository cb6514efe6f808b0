"""The loss of a transducer of speech, and its figure on the validation split."""

import torch
from torch import Tensor
from typing_extensions import override

from treadle.metrics import symbol_error_rate
from treadle_train.batching.bucketed import IGNORED
from treadle_train.batching.labelled import LabelledBatch
from treadle_train.greedy_frames import read_greedily
from treadle_train.modules.base import TaskModule, Totals
from treadle_train.networks import SpeechTransducer
from treadle_train.recipe import SpeechTransducerRecipe


class SpeechTransducerModule(TaskModule[SpeechTransducer]):
    """Nats of each transcript, summed over all its alignments, a symbol.

    A network that is fine-tuned learns from the transcripts too, not from its teacher: their
    likelihood is no mean over steps whose answers could be learnt one by one.
    """

    validation_lists = ("said", "right")

    def __init__(
        self, network: SpeechTransducer, recipe: SpeechTransducerRecipe, steps: int
    ) -> None:
        super().__init__(network, recipe.training, steps)
        self.said: list[list[str]] = []
        self.right: list[list[str]] = []

    def loss(self, batch: LabelledBatch) -> tuple[Tensor, int]:
        """Mean over the symbols, of which there are so many."""
        spoken = batch.labels != IGNORED
        counts = spoken.sum(1)
        symbols = batch.labels.masked_fill(~spoken, 0)
        nats = self.network.nats(batch.x, batch.lengths, symbols, counts)
        total = int(counts.sum())
        return nats.sum() / total, total

    @override
    def on_validation_epoch_start(self) -> None:
        """Forget the figures of the validation before."""
        self.validation_totals = Totals()
        self.said, self.right = [], []

    @override
    def validation_step(self, batch: LabelledBatch, batch_index: int) -> None:
        """Count the loss of one batch and what it answers."""
        loss, total = self.loss(batch)
        self.validation_totals.add(loss.item(), total)
        with torch.no_grad():
            found = read_greedily(self.network, batch.x, batch.lengths)
        self.said += [list(map(str, ids)) for ids in found]
        for row in batch.labels.tolist():
            self.right.append([str(symbol) for symbol in row if symbol != IGNORED])

    def figures(self) -> dict[str, float]:
        """The symbol error rate in percent, and the loss."""
        rate = symbol_error_rate(self.said, self.right)
        return {"symbol_error_rate": rate, "loss": self.validation_totals.mean}

    def carried_state(self) -> dict[str, Tensor]:
        """Nothing: utterances are independent."""
        return {}

    def restore_carried(self, state: dict[str, Tensor]) -> None:
        """Nothing to take back."""
