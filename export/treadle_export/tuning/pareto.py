"""Which candidates no other beats, and which of them is taken."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from treadle.stopwatch import Latency
from treadle_export.tuning.candidates import Candidate
from treadle_export.tuning.workload import Workload

TIE = 0.02
"""Latencies within 2 % count as equal: turns on a quiet machine differ by as much."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A candidate with its figures.

    latencies: a step and row, by workload. bytes: of graphs, weights and vocabularies. loss:
    relative to float32; budget: the largest that is accepted. offered: whether it may be chosen.
    """

    candidate: Candidate
    latencies: Mapping[Workload, Latency]
    bytes: int
    loss: float
    budget: float
    offered: bool
    exceptions: Mapping[str, str]

    @property
    def eligible(self) -> bool:
        """Whether it is offered and loses no more than it may; a loss that is no number does."""
        return self.offered and self.loss <= self.budget

    @property
    def latency(self) -> float:
        """Median microseconds a step and row, the geometric mean over the workloads."""
        logs = [math.log(latency.p50_us) for latency in self.latencies.values()]
        return math.exp(sum(logs) / len(logs))

    def costs(self) -> tuple[float, ...]:
        """What should be small: every latency, bytes, loss, and threads that others could use."""
        latencies = [latency.p50_us for latency in self.latencies.values()]
        return (*latencies, self.bytes, self.loss, self.candidate.settings.threads)


def front(measured: Sequence[Measured]) -> list[Measured]:
    """The eligible ones that no eligible other equals in every cost and beats in one."""
    eligible = [one for one in measured if one.eligible]
    return [one for one in eligible if not any(_beats(other, one) for other in eligible)]


def _beats(one: Measured, other: Measured) -> bool:
    pairs = list(zip(one.costs(), other.costs(), strict=True))
    return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)


def chosen(measured: Sequence[Measured], struck: Collection[Candidate] = ()) -> Measured | None:
    """The fastest eligible one; of those within `TIE` of it the smallest, with fewest threads.

    Args:
        measured: all candidates.
        struck: variants that are out.

    Returns:
        None where there is none.
    """
    left = [one for one in measured if one.eligible and one.candidate.variant not in struck]
    if not left:
        return None
    best = min(one.latency for one in left)
    tied = [one for one in left if one.latency <= best * (1 + TIE)]
    return min(tied, key=_preference)


def _preference(one: Measured) -> tuple[float, ...]:
    return one.bytes, one.candidate.settings.threads, one.latency, one.loss
