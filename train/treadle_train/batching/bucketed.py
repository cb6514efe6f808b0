"""Pairs of sequences in batches of similar length.

Notation: N pairs, B batch, S source length, T target length.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from treadle_train.batching.order import epoch_generator, with_unknowns

IGNORED = -100
"""The target where there is nothing to predict; the loss leaves it out."""

Ids = NDArray[np.int64]


class PairBatch(NamedTuple):
    """Pairs of sequences, padded; all int64."""

    source: Tensor  # [B, S]
    source_lengths: Tensor  # [B]
    inputs: Tensor  # [B, T]: start symbol, then the target
    targets: Tensor  # [B, T]: the target, then the end symbol; IGNORED where padded


@dataclass(frozen=True)
class Pairs:
    """All pairs of a split, padded once to the longest, so that a batch is one indexing."""

    source: Ids  # [N, longest], padding 0
    source_lengths: Ids  # [N]
    inputs: Ids  # [N, longest + 1], padding 0
    targets: Ids  # [N, longest + 1], padding IGNORED
    target_lengths: Ids  # [N], the end symbol included

    @classmethod
    def of(
        cls, sources: Sequence[list[int]], targets: Sequence[list[int]], *, start: int, end: int
    ) -> "Pairs":
        """Pad N sources and N targets, given as ids without special symbols."""
        return cls(
            source=_pad(sources, 0),
            source_lengths=np.array([len(ids) for ids in sources], np.int64),
            inputs=_pad([[start, *ids] for ids in targets], 0),
            targets=_pad([[*ids, end] for ids in targets], IGNORED),
            target_lengths=np.array([len(ids) + 1 for ids in targets], np.int64),
        )

    def __len__(self) -> int:
        return len(self.source)

    def batch(self, rows: Ids) -> PairBatch:
        """The batch of these rows, padded to the longest of them."""
        width = int(self.source_lengths[rows].max())
        time = int(self.target_lengths[rows].max())
        return PairBatch(
            torch.from_numpy(self.source[rows, :width]),
            torch.from_numpy(self.source_lengths[rows]),
            torch.from_numpy(self.inputs[rows, :time]),
            torch.from_numpy(self.targets[rows, :time]),
        )


@dataclass(frozen=True)
class BucketedBatches:
    """The batches of one epoch, from the batch `first` on.

    Pairs are shuffled, sorted by source length within windows of `window` batches (0: one window
    for all), cut into batches, and the batches shuffled. Nearly all rows of a batch then have one
    length, and the recurrent kernels for full rows serve, which are the fastest.
    """

    pairs: Pairs
    batch_size: int
    window: int
    seed: int
    epoch: int
    unknown_rate: float = 0.0
    unknown: int = 0
    first: int = 0

    def __len__(self) -> int:
        return -(-len(self.pairs) // self.batch_size) - self.first

    def __iter__(self) -> Iterator[PairBatch]:
        generator = epoch_generator(self.seed, self.epoch)
        lengths = self.pairs.source_lengths
        batches = bucketed_rows(generator, lengths, self.batch_size, self.window)
        draws = generator.integers(
            2**63, size=len(batches)
        )  # one a batch, so that any can be first
        for rows, draw in zip(batches[self.first :], draws[self.first :], strict=True):
            batch = self.pairs.batch(rows)
            seen = with_unknowns(batch.source, self.unknown_rate, self.unknown, int(draw))
            # A hit on padding stays without effect: the lengths hide it.
            yield batch._replace(source=seen)

    def rows(self) -> list[Ids]:
        """The pairs of every batch of the epoch, int64 [B] each."""
        lengths, generator = self.pairs.source_lengths, epoch_generator(self.seed, self.epoch)
        return bucketed_rows(generator, lengths, self.batch_size, self.window)

    def random_rows(self) -> list[Ids]:
        """The same pairs in batches of the same sizes, shuffled and not sorted by length."""
        order = epoch_generator(self.seed, self.epoch).permutation(len(self.pairs))
        return [order[k : k + self.batch_size] for k in range(0, len(order), self.batch_size)]


def bucketed_rows(
    generator: np.random.Generator, lengths: Ids, batch_size: int, window: int
) -> list[Ids]:
    """The rows of each batch of an epoch: as `BucketedBatches` says, by `lengths` [N]."""
    order = generator.permutation(len(lengths))
    span = window * batch_size or len(order)
    batches = []
    for start in range(0, len(order), span):
        rows = order[start : start + span]
        rows = rows[np.argsort(lengths[rows], kind="stable")]
        batches += [rows[k : k + batch_size] for k in range(0, len(rows), batch_size)]
    return [batches[k] for k in generator.permutation(len(batches))]


def _pad(rows: Sequence[list[int]], padding: int) -> Ids:
    padded = np.full((len(rows), max(map(len, rows))), padding, np.int64)
    for index, row in enumerate(rows):
        padded[index, : len(row)] = row
    return padded
