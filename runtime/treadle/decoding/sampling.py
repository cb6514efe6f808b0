"""Drawing the next symbol: which are kept, how likely, and one inverse CDF for every language."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from treadle.decoding.philox import uniform
from treadle.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Sampler:
    """How symbols are drawn; raises InputError for values that make no sense.

    In this order:

    repetition_penalty: positive logits of symbols that a row has made already are divided by it,
    negative ones multiplied; 1 switches it off (Keskar et al. 2019, "CTRL: a conditional
    transformer language model for controllable generation", section 4.1).
    temperature: divides the logits; 0 always takes the most likely symbol.
    top_k: keep only the k most likely symbols. top_p: of those, the fewest most likely ones that
    hold at least this share of their probability (Holtzman et al. 2020, "The curious case of
    neural text degeneration"). Of equally likely symbols the lower id counts as more likely.
    min_p: of those, the symbols at least this many times as probable as the most likely one
    (Nguyen et al. 2024, "Turning up the heat: min-p sampling for creative and coherent LLM
    outputs").
    seed: same seed, same text.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    seed: int = 0
    min_p: float | None = None
    repetition_penalty: float = 1.0

    def __post_init__(self) -> None:
        if not (np.isfinite(self.temperature) and self.temperature >= 0):
            raise InputError(f"temperature should be 0 or more, got {self.temperature}")
        if self.top_k is not None and self.top_k < 1:
            raise InputError(f"top_k should be at least 1, got {self.top_k}")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise InputError(f"top_p should be above 0 and at most 1, got {self.top_p}")
        if not 0 <= self.seed < 1 << 64:
            raise InputError(f"seed should be from 0 to 2**64 - 1, got {self.seed}")
        if self.min_p is not None and not 0 <= self.min_p <= 1:
            raise InputError(f"min_p should be from 0 to 1, got {self.min_p}")
        if not (np.isfinite(self.repetition_penalty) and self.repetition_penalty > 0):
            raise InputError(
                f"repetition_penalty should be above 0, got {self.repetition_penalty}; 1 is off"
            )

    def draw(
        self,
        logits: NDArray[np.float32],
        step: int,
        *,
        made: NDArray[np.bool_] | None = None,
        allowed: NDArray[np.bool_] | None = None,
        rows: Iterable[int] | None = None,
    ) -> NDArray[np.int64]:
        """One id for each row of finite logits `[B, V]`, int64 `[B]`.

        `made`, bool `[B, V]`, are the symbols that each row has made, for the penalty; `allowed`,
        bool `[B, V]` with at least one in each row, those that may be drawn. Row r at a step
        always uses the same random number, whatever the batch; `rows` number them, 0, 1, … if
        not given.
        """
        candidates = self._candidates(logits, made, allowed)
        if self.temperature == 0:
            return np.asarray(candidates.argmax(axis=-1), dtype=np.int64)
        weights = self.weights(candidates)
        cumulative = weights.cumsum(axis=-1)
        numbers = range(len(logits)) if rows is None else rows
        targets = uniform(self.seed, numbers, step) * cumulative[:, -1]
        # The first id, in id order, whose cumulative weight exceeds the target.
        return np.asarray((cumulative > targets[:, None]).argmax(axis=-1), dtype=np.int64)

    def _candidates(
        self,
        logits: NDArray[np.float32],
        made: NDArray[np.bool_] | None,
        allowed: NDArray[np.bool_] | None,
    ) -> NDArray[np.floating]:
        """The logits after the penalty, minus infinity for what is not allowed."""
        candidates: NDArray[np.floating] = logits
        if made is not None and self.repetition_penalty != 1:
            wide = logits.astype(np.float64)
            with np.errstate(over="ignore"):
                penalized = np.where(
                    wide > 0, wide / self.repetition_penalty, wide * self.repetition_penalty
                )
            # An extreme penalty overflows, and a softmax over infinities would be NaN.
            candidates = np.where(made, np.clip(penalized, -1e300, 1e300), wide)
        if allowed is not None:
            candidates = np.where(allowed, candidates, -np.inf)
        return candidates

    def weights(self, logits: NDArray[np.floating]) -> NDArray[np.float64]:
        """Softmax over the last axis in float64, 0 for symbols that are left out; not rescaled."""
        behind = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
        with np.errstate(over="ignore"):  # a tiny temperature: minus infinity, so weight 0
            weights: NDArray[np.float64] = np.exp(behind / self.temperature)
        weights /= weights.sum(axis=-1, keepdims=True)
        if self.top_k is not None or self.top_p is not None:
            weights = self._truncated(weights)
        if self.min_p is not None:
            weights[weights < self.min_p * weights.max(axis=-1, keepdims=True)] = 0.0
        return weights

    def _truncated(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """The weights that top_k and then top_p keep."""
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
