"""One epoch over rows of any kind, in batches of similar length.

Notation: N rows, B batch.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np

from treadle_train.batching.bucketed import Ids, bucketed_rows
from treadle_train.batching.order import epoch_generator

Batch = TypeVar("Batch")


class Rows(Protocol[Batch]):
    """All examples of a split."""

    def __len__(self) -> int:
        """N."""

    @property
    def lengths(self) -> Ids:
        """By which rows are put together, [N]."""

    def batch(self, chosen: Sequence[int] | Ids) -> Batch:
        """The batch of these rows, padded to the longest of them."""

    def forgetting(self, batch: Batch, rate: float, unknown: int, draw: int) -> Batch:
        """The batch with this share of the symbols that are read unknown (`with_unknowns`)."""


@dataclass(frozen=True)
class RowBatches(Generic[Batch]):
    """The batches of one epoch, from the batch `first` on, bucketed as `BucketedBatches`."""

    examples: Rows[Batch]
    batch_size: int
    window: int
    seed: int
    epoch: int
    unknown_rate: float = 0.0
    unknown: int = 0
    first: int = 0

    def __len__(self) -> int:
        return -(-len(self.examples) // self.batch_size) - self.first

    def __iter__(self) -> Iterator[Batch]:
        generator = epoch_generator(self.seed, self.epoch)
        batches = bucketed_rows(generator, self.examples.lengths, self.batch_size, self.window)
        draws = generator.integers(2**63, size=len(batches))  # one a batch: any can be first
        for rows, draw in zip(batches[self.first :], draws[self.first :], strict=True):
            batch = self.examples.batch(rows)
            yield self.examples.forgetting(batch, self.unknown_rate, self.unknown, int(draw))


def by_length(examples: Rows[Batch], batch_size: int) -> list[Batch]:
    """All rows once, the shortest first: nothing is drawn."""
    order = np.argsort(examples.lengths, kind="stable")
    return [examples.batch(order[k : k + batch_size]) for k in range(0, len(order), batch_size)]
