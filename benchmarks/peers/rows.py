"""Rows of the results: one an engine, workload, cell, precision and number of threads."""

from __future__ import annotations

import json
import statistics
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from benchmarks.peers.judging import is_wrong

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from benchmarks.peers.case import Key


@dataclass(frozen=True, slots=True)
class Row:
    """p50_us, p99_us: medians over the rounds of a round's percentiles, a call.

    error: the largest difference of a logit from PyTorch's; argmax_agreement: how often the
    likeliest is the same. allowed_error: what the precision explains (`judging.py`).
    floor_us: None where no C compiler is there to measure it.
    """

    workload: str
    cell: str
    precision: str
    threads: int
    engine: str
    version: str
    p50_us: float
    p99_us: float
    error: float
    allowed_error: float
    argmax_agreement: float
    floor_us: float | None
    resident_mb: float

    @property
    def key(self) -> Key:
        """What tells a row from the others."""
        return self.workload, self.cell, self.precision, self.threads, self.engine

    @property
    def wrong(self) -> bool:
        """Whether the answer is worse than the precision explains."""
        return is_wrong(self.precision, self.error, self.allowed_error, self.argmax_agreement)

    @property
    def times_floor(self) -> float | None:
        """How far from the floor: 1 is on it."""
        return None if self.floor_us is None else self.p50_us / self.floor_us

    @classmethod
    def of(
        cls,
        key: Key,
        ready: Mapping[str, Any],
        rounds: Sequence[Mapping[str, float]],
        allowed_error: float,
        floor_us: float | None,
    ) -> Row:
        """From what a process said when it was ready, and after each round."""
        return cls(
            *key,
            version=ready["version"],
            p50_us=round(statistics.median(one["p50_us"] for one in rounds), 2),
            p99_us=round(statistics.median(one["p99_us"] for one in rounds), 2),
            error=float(f"{ready['error']:.4g}"),
            allowed_error=float(f"{allowed_error:.4g}"),
            argmax_agreement=round(ready["argmax_agreement"], 4),
            floor_us=None if floor_us is None else round(floor_us, 2),
            resident_mb=round(max(one["resident_mb"] for one in rounds), 1),
        )

    def to_json(self) -> dict[str, Any]:
        """All of it, with the mark."""
        return {**asdict(self), "wrong": self.wrong}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Row:
        """A row of the file."""
        return cls(**{field.name: document[field.name] for field in fields(cls)})


@dataclass(frozen=True, slots=True)
class Absence:
    """A row that could not be had, or all of an engine, and why."""

    engine: str
    workload: str
    cell: str
    precision: str
    reason: str

    @property
    def key(self) -> tuple[str, ...]:
        """What tells it from the others."""
        return self.engine, self.workload, self.cell, self.precision

    def covers(self, key: Key) -> bool:
        """Whether a row with this key is what could not be had."""
        workload, cell, precision, _, engine = key
        return self.key == (engine, workload, cell, precision)


def merged(old: Iterable[Row], new: Iterable[Row]) -> list[Row]:
    """New rows in the place of old ones with the same key, the others as they were, in order."""
    return [*({row.key: row for row in old} | {row.key: row for row in new}).values()]


@dataclass(slots=True)
class Results:
    """The file: its machine, its rows, what is absent and why, what the machine can do."""

    machine: dict[str, Any]
    rows: list[Row]
    absent: list[Absence]
    rates: dict[str, float]
    date: str = ""
    rounds: int = 0

    def add(self, rows: Iterable[Row], absent: Iterable[Absence]) -> None:
        """Take over what a run found; a row that is there now is no longer absent."""
        self.rows = merged(self.rows, rows)
        both = {one.key: one for one in (*self.absent, *absent)}
        there = [row.key for row in self.rows]
        self.absent = [one for one in both.values() if not any(map(one.covers, there))]

    def settled(self, keys: Iterable[Key]) -> bool:
        """Whether every one of these is a row, or known to be absent."""
        there = {row.key for row in self.rows}
        return all(key in there or any(one.covers(key) for one in self.absent) for key in keys)

    def write(self, path: Path) -> None:
        """One row a line, so that a difference between two runs can be read."""
        about = {
            "machine": self.machine,
            "date": self.date,
            "rounds": self.rounds,
            "versions": {row.engine: row.version for row in self.rows},
            "rates_per_second": self.rates,
            "absent": [asdict(one) for one in self.absent],
        }
        head = json.dumps(about, indent=1).removesuffix("\n}")
        lines = ",\n".join(f"  {json.dumps(row.to_json())}" for row in self.rows)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'{head},\n "rows": [\n{lines}\n ]\n}}\n', encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Results:
        """What `write` wrote."""
        document = json.loads(path.read_text(encoding="utf-8"))
        return cls(
            document["machine"],
            [Row.from_json(row) for row in document["rows"]],
            [Absence(**one) for one in document["absent"]],
            document["rates_per_second"],
            document["date"],
            document["rounds"],
        )
