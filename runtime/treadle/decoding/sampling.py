"""Drawing the next symbol: temperature, top-k, top-p, and one inverse CDF for every language."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from treadle.decoding.philox import uniform
from treadle.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Sampler:
    """How symbols are drawn; raises InputError for values that make no sense.

    temperature: divides the logits; 0 always takes the most likely symbol.
    top_k: keep only the k most likely symbols. top_p: of those, the fewest most likely ones that
    hold at least this share of their probability (Holtzman et al. 2020, "The curious case of
    neural text degeneration"). Of equally likely symbols the lower id counts as more likely.
    seed: same seed, same text.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if not (np.isfinite(self.temperature) and self.temperature >= 0):
            raise InputError(f"temperature should be 0 or more, got {self.temperature}")
        if self.top_k is not None and self.top_k < 1:
            raise InputError(f"top_k should be at least 1, got {self.top_k}")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise InputError(f"top_p should be above 0 and at most 1, got {self.top_p}")
        if not 0 <= self.seed < 1 << 64:
            raise InputError(f"seed should be from 0 to 2**64 - 1, got {self.seed}")

    def draw(self, logits: NDArray[np.float32], step: int) -> NDArray[np.int64]:
        """One id for each row of finite logits `[B, V]`, int64 `[B]`.

        Row r at a step always uses the same random number, whatever the batch.
        """
        if self.temperature == 0:
            return np.asarray(logits.argmax(axis=-1), dtype=np.int64)
        weights = self.weights(logits)
        cumulative = weights.cumsum(axis=-1)
        targets = uniform(self.seed, range(len(logits)), step) * cumulative[:, -1]
        # The first id, in id order, whose cumulative weight exceeds the target.
        return np.asarray((cumulative > targets[:, None]).argmax(axis=-1), dtype=np.int64)

    def weights(self, logits: NDArray[np.float32]) -> NDArray[np.float64]:
        """Softmax over the last axis in float64, 0 for symbols that are left out; not rescaled."""
        behind = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
        with np.errstate(over="ignore"):  # a tiny temperature: minus infinity, so weight 0
            weights: NDArray[np.float64] = np.exp(behind / self.temperature)
        weights /= weights.sum(axis=-1, keepdims=True)
        if self.top_k is None and self.top_p is None:
            return weights
        order = np.argsort(-weights, axis=-1, kind="stable")
        ranked = np.take_along_axis(weights, order, axis=-1)
        if self.top_k is not None:
            ranked[:, self.top_k :] = 0.0
        if self.top_p is not None:
            held = ranked.cumsum(axis=-1)  # by a symbol and all before it
            enough = held >= self.top_p * held[:, -1:]
            ranked[:, 1:][enough[:, :-1]] = 0.0
        kept: NDArray[np.float64] = np.zeros_like(weights)
        np.put_along_axis(kept, order, ranked, axis=-1)
        return kept
