"""What training needs of a task."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any

from treadle.vocabulary import Vocabulary
from treadle_train.batching.padding import BucketingReport
from treadle_train.modules.base import TaskModule


class Task(ABC):
    """A recipe together with its data, ready to make batches.

    left_out: training examples that the recipe asked to leave out.
    """

    vocabularies: dict[str, Vocabulary]
    left_out: int = 0

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
