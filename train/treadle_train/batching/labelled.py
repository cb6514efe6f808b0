"""Sequences with one label each, or one a step, in batches of similar length.

Notation: N examples, B batch, T time, F features of a frame.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from treadle.data import Classified
from treadle.vocabulary import Vocabulary
from treadle_train.batching.bucketed import IGNORED, Ids
from treadle_train.batching.order import with_unknowns
from treadle_train.cells.ragged import valid_positions

Row = NDArray[Any]
"""Ids int64 [T], or frames float32 [T, F]."""


class LabelledBatch(NamedTuple):
    """Sequences, padded, and their labels."""

    x: Tensor  # int64 [B, T] or float32 [B, T, F], zeros where padded
    lengths: Tensor  # int64 [B]
    labels: Tensor  # int64 [B]; one a step, or a transcript: [B, U], IGNORED where padded


@dataclass(frozen=True)
class LabelledRows:
    """All examples of a split."""

    rows: Sequence[Row]
    labels: Ids  # [N]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def lengths(self) -> Ids:
        """[N]."""
        return np.array([len(row) for row in self.rows], np.int64)

    def batch(self, chosen: Sequence[int] | Ids) -> LabelledBatch:
        """The batch of these rows, padded to the longest of them."""
        x, lengths = padded([self.rows[index] for index in chosen])
        return LabelledBatch(x, lengths, torch.from_numpy(self.labels[np.asarray(chosen)]))

    def forgetting(
        self, batch: LabelledBatch, rate: float, unknown: int, draw: int
    ) -> LabelledBatch:
        """The batch with this share of its symbols unknown."""
        return _forgetting(batch, rate, unknown, draw)


@dataclass(frozen=True)
class TaggedRows:
    """All sentences or utterances of a split, and what is said of each: ids int64 [U].

    Of a sentence as many tags as tokens; of an utterance the symbols of its transcript.
    """

    rows: Sequence[Row]  # [T], or [T, columns] with characters; frames float32 [T, F]
    tags: Sequence[Ids]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def lengths(self) -> Ids:
        """[N]."""
        return np.array([len(row) for row in self.rows], np.int64)

    def batch(self, chosen: Sequence[int] | Ids) -> LabelledBatch:
        """The batch of these rows, padded to the longest of them."""
        x, lengths = padded([self.rows[index] for index in chosen])
        tags, counts = padded([self.tags[index] for index in chosen])
        return LabelledBatch(
            x, lengths, tags.masked_fill(~valid_positions(counts, tags.shape[1]), IGNORED)
        )

    def forgetting(
        self, batch: LabelledBatch, rate: float, unknown: int, draw: int
    ) -> LabelledBatch:
        """The batch with this share of its symbols unknown."""
        return _forgetting(batch, rate, unknown, draw)


def _forgetting(batch: LabelledBatch, rate: float, unknown: int, draw: int) -> LabelledBatch:
    """Of a token with characters the first column is the token: they stay known."""
    known = batch.x if batch.x.ndim == 2 else batch.x[..., 0]
    read = with_unknowns(known, rate, unknown, draw)
    if read is known:
        return batch
    return batch._replace(
        x=read if batch.x.ndim == 2 else torch.cat([read[..., None], batch.x[..., 1:]], 2)
    )


def encoded(example: Classified, vocabularies: Mapping[str, Vocabulary]) -> Row:
    """What a network reads of an example; a symbol that training has not seen is unknown."""
    if isinstance(example.inputs, str):
        ids = vocabularies["input"].encode(example.inputs, unknown="symbol")
        return np.array(ids, np.int64)
    return np.asarray(example.inputs, np.float32)


def padded(rows: Sequence[Row]) -> tuple[Tensor, Tensor]:
    """Rows as one tensor, zeros where padded, and their lengths int64 [B]."""
    lengths = torch.tensor([len(row) for row in rows])
    x = np.zeros((len(rows), int(lengths.max()), *rows[0].shape[1:]), rows[0].dtype)
    for index, row in enumerate(rows):
        x[index, : len(row)] = row
    return torch.from_numpy(x), lengths
