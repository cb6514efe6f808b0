"""Sequences that are written for a label or a vector, in batches of similar length.

Notation: N examples, B batch, T time, F numbers of a vector.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from treadle_train.batching.bucketed import IGNORED, Ids
from treadle_train.batching.labelled import padded
from treadle_train.batching.order import with_unknowns
from treadle_train.cells.ragged import valid_positions


class ConditionedBatch(NamedTuple):
    """What is given, and what is written for it, padded."""

    given: Tensor  # int64 [B], or float32 [B, F]
    inputs: Tensor  # int64 [B, T]: the start symbol, then what is written; 0 where padded
    targets: Tensor  # int64 [B, T]: the inputs, one symbol later, then the end; else IGNORED


@dataclass(frozen=True)
class ConditionedRows:
    """All examples of a split."""

    given: NDArray[Any]  # int64 [N], or float32 [N, F]
    written: Sequence[Ids]  # with the start symbol before and the end symbol behind

    def __len__(self) -> int:
        return len(self.written)

    @property
    def lengths(self) -> Ids:
        """Steps of each example, [N]."""
        return np.array([len(row) - 1 for row in self.written], np.int64)

    def cut(self, longest: int) -> "ConditionedRows":
        """The same, of longer ones the first `longest` steps; 0: as they are."""
        if not longest:
            return self
        return ConditionedRows(self.given, [row[: longest + 1] for row in self.written])

    def batch(self, chosen: Sequence[int] | Ids) -> ConditionedBatch:
        """The batch of these rows, padded to the longest of them."""
        inputs, lengths = padded([self.written[index][:-1] for index in chosen])
        targets, _ = padded([self.written[index][1:] for index in chosen])
        return ConditionedBatch(
            torch.from_numpy(self.given[np.asarray(chosen)]),
            inputs,
            targets.masked_fill(~valid_positions(lengths, inputs.shape[1]), IGNORED),
        )

    def forgetting(
        self, batch: ConditionedBatch, rate: float, unknown: int, draw: int
    ) -> ConditionedBatch:
        """The batch with this share of what is read unknown; what comes next stays what it is."""
        return batch._replace(inputs=with_unknowns(batch.inputs, rate, unknown, draw))
