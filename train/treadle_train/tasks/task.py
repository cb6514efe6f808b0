"""What training needs of a task."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from treadle.vocabulary import Vocabulary
from treadle_train.batching.padding import BucketingReport
from treadle_train.embeddings.word_vectors import WordVectors
from treadle_train.modules.base import TaskModule
from treadle_train.modules.held import HeldEntries


class Task(ABC):
    """A recipe together with its data, ready to make batches.

    left_out: training examples that the recipe asked to leave out. vectors: what its network's
    embedding starts with, if the recipe names any.
    """

    vocabularies: dict[str, Vocabulary]
    left_out: int = 0
    vectors: WordVectors | None = None

    @abstractmethod
    def steps_per_epoch(self) -> int:
        """How many batches one epoch has, in every epoch the same."""

    @abstractmethod
    def new_module(self) -> TaskModule[Any]:
        """A network with new weights and its loss; weights depend on torch's random state."""

    @abstractmethod
    def train_batches(self, epoch: int, first: int) -> Iterable[Any]:
        """The batches of an epoch from the batch `first` on; the same at every call."""

    def bucketing_report(self) -> BucketingReport | None:
        """What bucketing saves; None where batches have nothing to pad."""
        return None

    @abstractmethod
    def validation_batches(self) -> list[Any]:
        """All batches of the validation split."""

    def begin_with_vectors(self, embedding: nn.Module) -> list[HeldEntries]:
        """Write the vectors into a new embedding; of frozen ones, the entries to hold."""
        if self.vectors is None or not isinstance(embedding, nn.Embedding):
            return []
        found = torch.from_numpy(self.vectors.embeddings.found)[:, None]
        vectors = torch.from_numpy(self.vectors.embeddings.matrix)
        with torch.no_grad():
            embedding.weight.copy_(torch.where(found, vectors, embedding.weight))
        return [HeldEntries(embedding.weight, found)] if self.vectors.frozen else []
