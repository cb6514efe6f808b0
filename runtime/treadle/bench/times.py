"""What single calls took, and what can be said of them.

Notation: N calls, in the order in which they were made.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

PERCENTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999}
BEYOND = 10
"""Calls that have to lie beyond a percentile, or nothing is said of it."""
STRETCHES = 32
"""Stretches whose medians make the interval of the median."""
CONFIDENCE = 0.95
BINS_AN_OCTAVE = 8
"""Of the histogram: neighbouring edges differ by 9 %."""


@dataclass(frozen=True, slots=True)
class Times:
    """Durations int64 [N] in nanoseconds, N at least 1, the warm-up left out.

    warmup: calls before these. steady: whether the warm-up had come to an end.
    """

    ns: NDArray[np.int64]
    warmup: int = 0
    steady: bool = True

    @property
    def median(self) -> float:
        """In nanoseconds; a time that occurred."""
        return float(_ranked(self.ns, _rank(0.5, len(self.ns))))

    @property
    def interval(self) -> tuple[float, float]:
        """Where the median lies, in nanoseconds, with 95 % confidence.

        Calls that follow one another are alike: a busy moment of the machine is long. So the
        interval is that of the medians of stretches, by order statistics, which assume nothing of
        their distribution (e.g. Conover, "Practical nonparametric statistics", 3.2).
        """
        parts = np.array_split(self.ns, min(STRETCHES, len(self.ns)))
        medians = np.sort([_ranked(part, _rank(0.5, len(part))) for part in parts])
        outside = _ranks_outside(len(medians))
        return float(medians[outside]), float(medians[-1 - outside])

    @property
    def tightness(self) -> float:
        """Half the interval as a share of the median."""
        low, high = self.interval
        return (high - low) / 2 / max(self.median, 1.0)

    @property
    def jitter(self) -> float:
        """The mean difference between a call and the next, in nanoseconds; 0 for a single one."""
        return float(np.abs(np.diff(self.ns)).mean()) if len(self.ns) > 1 else 0.0

    def percentile(self, share: float) -> float | None:
        """In nanoseconds, a time that occurred; None where fewer than BEYOND calls lie beyond."""
        rank = _rank(share, len(self.ns))
        if share > 0.5 and len(self.ns) - rank < BEYOND:
            return None
        return float(_ranked(self.ns, rank))

    def histogram(self) -> tuple[list[float], list[int]]:
        """Edges in microseconds, each 2^(1/8) times the one before, and counts between them."""
        low, high = (math.log2(max(float(bound), 1.0)) for bound in (self.ns.min(), self.ns.max()))
        first, last = (math.floor(bound * BINS_AN_OCTAVE) for bound in (low, high))
        exponents = np.arange(first, last + 2) / BINS_AN_OCTAVE
        places = np.floor(np.log2(np.maximum(self.ns, 1)) * BINS_AN_OCTAVE).astype(np.int64)
        counts = np.bincount(places - first, minlength=len(exponents) - 1)
        return (2.0**exponents / 1000).tolist(), counts.tolist()

    def to_json(self) -> dict[str, Any]:
        """Everything above in microseconds; null where nothing can be said."""
        edges, counts = self.histogram()
        shares = {name: _us(self.percentile(share)) for name, share in PERCENTILES.items()}
        return {
            "calls": len(self.ns),
            "warmup": self.warmup,
            "steady": self.steady,
            **{f"{name}_us": value for name, value in shares.items()},
            "interval_us": [_us(bound) for bound in self.interval],
            "worst_us": _us(float(self.ns.max())),
            "jitter_us": _us(self.jitter),
            "histogram": {"edges_us": edges, "counts": counts},
        }


def _rank(share: float, count: int) -> int:
    """The nearest rank, from 1: so many of the calls are no slower than the percentile."""
    return max(1, math.ceil(round(share * count, 6)))  # 0.999 * 10,000 is a little above 9,990


def _ranked(values: NDArray[np.int64], rank: int) -> np.int64:
    found: np.int64 = np.partition(values, rank - 1)[rank - 1]
    return found


def _us(nanoseconds: float | None) -> float | None:
    return None if nanoseconds is None else nanoseconds / 1000


def _ranks_outside(count: int) -> int:
    """How many of `count` sorted values lie outside of the median's interval, on each side."""
    tail, outside = 0.0, 0
    while outside < (count - 1) // 2:
        tail += math.comb(count, outside) / 2.0**count
        if tail > (1 - CONFIDENCE) / 2:
            break
        outside += 1
    return outside
