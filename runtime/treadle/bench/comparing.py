"""Two reports of `treadle bench` against each other."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from treadle.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

SCHEMA = "treadle-bench-1"
"""What the key `schema` of a report says."""


@dataclass(frozen=True, slots=True)
class Ratio:
    """The second report's median over the first one's, of one scenario; below 1 it is faster.

    low, high: the ratio at the ends of both intervals that make it least and most.
    """

    scenario: str
    ratio: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """In words, and only where the intervals part."""
        if self.high < 1:
            return "faster"
        return "slower" if self.low > 1 else "no difference shown"

    def to_json(self) -> dict[str, Any]:
        """Its fields and its verdict."""
        return asdict(self) | {"verdict": self.verdict}


def named(one: dict[str, Any]) -> str:
    """A scenario of a report with its sizes, "step (rows 1)"."""
    sizes = ", ".join(f"{name} {value:g}" for name, value in one["parameters"].items())
    return f"{one['scenario']} ({sizes})" if sizes else str(one["scenario"])


def compare(first: object, second: object) -> list[Ratio]:
    """The scenarios that both reports have with the same parameters, in the first one's order.

    Raises InputError where one is no report, or they share no scenario.
    """
    ours, theirs = dict(_measured(first)), dict(_measured(second))
    shared = [name for name in ours if name in theirs]
    if not shared:
        raise InputError(
            f"expected two reports with a scenario in common, got {', '.join(ours) or 'none'} and "
            f"{', '.join(theirs) or 'none'}; run both with the same scenarios and sizes"
        )
    return [_ratio(name, ours[name], theirs[name]) for name in shared]


def _measured(report: object) -> Iterator[tuple[str, dict[str, Any]]]:
    if not isinstance(report, dict) or report.get("schema") != SCHEMA:
        raise InputError(
            f"expected a report of `treadle bench --json`, schema {SCHEMA!r}, got one of "
            f"{report.get('schema') if isinstance(report, dict) else report!r}"
        )
    for one in report["scenarios"]:
        yield named(one), one


def _ratio(name: str, first: dict[str, Any], second: dict[str, Any]) -> Ratio:
    (low, high), (lowest, highest) = first["interval_us"], second["interval_us"]
    return Ratio(name, second["p50_us"] / first["p50_us"], lowest / high, highest / low)
