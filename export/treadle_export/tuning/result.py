"""What tuning found: all candidates with their figures, as JSON, as evidence and as a plan."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from treadle.errors import QualityError
from treadle.machine import Machine
from treadle.stopwatch import Latency
from treadle_export.tuning.candidates import Candidate
from treadle_export.tuning.pareto import Measured, chosen, front
from treadle_export.tuning.plan_file import Plan
from treadle_export.tuning.workload import Workload


@dataclass(frozen=True, slots=True)
class Result:
    """measured: the fastest first. metric: what the losses are. machine: where it was measured."""

    measured: tuple[Measured, ...]
    workloads: tuple[Workload, ...]
    metric: str
    rounds: int
    machine: Machine

    def choice(self, struck: Collection[Candidate] = ()) -> Measured:
        """The one to be taken, see `pareto.chosen`.

        Raises:
            QualityError: none loses as little as it may.
        """
        found = chosen(self.measured, struck)
        if found is not None:
            return found
        offered = [one for one in self.measured if one.offered]
        least = min(offered, key=lambda one: one.loss - one.budget)
        raise QualityError(
            f"expected a candidate within the quality budget, got none of {len(offered)}: "
            f"{least.candidate} comes nearest with {least.loss:+.2%}, and {least.budget:.2%} are "
            f"allowed; allow more with --max-quality-drop, or offer other precisions. Nothing was "
            f"written"
        )

    def to_json(self, best: Measured) -> dict[str, Any]:
        """Everything, one object a candidate; `best` is the one that was taken."""
        on_front = front(self.measured)
        return {
            **self._conditions(),
            "metric": self.metric,
            "candidates": [
                {**described(one), "front": one in on_front, "chosen": one is best}
                for one in self.measured
            ],
        }

    def evidence(self, one: Measured) -> dict[str, Any]:
        """`evidence.latency` of a manifest that the candidate became."""
        return {
            **self._conditions(),
            "workloads": latencies(one.latencies),
            "threads": one.candidate.settings.threads,
            "call": one.candidate.settings.call,
            "candidates": [described(each) for each in self.measured],
        }

    def plan(self, one: Measured) -> Plan:
        """The plan that makes the candidate again, here or elsewhere."""
        return Plan(
            exceptions=dict(one.exceptions),
            precision=one.candidate.precision,
            settings=one.candidate.settings,
            machine=self.machine,
            workloads=latencies(one.latencies),
        )

    def _conditions(self) -> dict[str, Any]:
        return {
            "unit": "microseconds a time step and row",
            "machine": self.machine.to_json(),
            "rounds": self.rounds,
        }


def described(one: Measured) -> dict[str, Any]:
    """A candidate and its figures as one JSON object."""
    return {
        "precision": one.candidate.precision,
        **one.candidate.settings.to_json(),
        "weights": dict(one.exceptions),
        "workloads": latencies(one.latencies),
        "bytes": one.bytes,
        "loss": one.loss if math.isfinite(one.loss) else None,
        "budget": one.budget,
        "offered": one.offered,
        "eligible": one.eligible,
    }


def latencies(measured: Mapping[Workload, Latency]) -> dict[str, Any]:
    """Workload -> median and 99th percentile, and over how many calls."""
    return {
        str(workload): {"p50_us": each.p50_us, "p99_us": each.p99_us, "calls": each.steps}
        for workload, each in measured.items()
    }
