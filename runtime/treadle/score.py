"""How likely a model holds a given sequence."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from treadle.decoding import log_softmax
from treadle.metrics import perplexity

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Score:
    """Negative log-likelihood of a sequence: `nats` holds one float64 a symbol."""

    nats: NDArray[np.float64]

    @property
    def count(self) -> int:
        """Number of symbols."""
        return len(self.nats)

    @property
    def nats_per_symbol(self) -> float:
        """Mean over the symbols, in nats."""
        return float(self.nats.sum() / self.count)

    @property
    def bits_per_symbol(self) -> float:
        """Mean over the symbols, in bits."""
        return self.nats_per_symbol / math.log(2.0)

    @property
    def perplexity(self) -> float:
        """Exp of the mean nats; infinity where a float cannot hold it."""
        return perplexity(self.nats)


def negative_log_probabilities(
    logits: NDArray[np.float32], targets: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Nats of each target `[T]` under the logits `[T, V]` that predict it, float64 `[T]`."""
    chosen: NDArray[np.float64] = log_softmax(logits)[np.arange(len(targets)), targets]
    return -chosen
