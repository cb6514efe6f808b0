"""One row to measure: which engine answers which workload, in which precision and threads."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from benchmarks.peers.engines import ENGINES, Engine
from benchmarks.peers.workloads import GATES, WORKLOADS, Ids, Workload, folder_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

THREADS = (1, 2)

Key = tuple[str, str, str, int, str]


class Runner(Protocol):
    """A workload in an engine, its state carried."""

    def start(self) -> None:
        """Forget what was read."""

    def step(self, tokens: Ids) -> NDArray[np.float32]:
        """Tokens [B], of a tagger [T, 1], to logits [B, V] that the next call may overwrite."""


@dataclass(frozen=True, slots=True)
class Case:
    """What one process measures."""

    engine: Engine
    workload: Workload
    cell: str
    precision: str
    threads: int

    @property
    def key(self) -> Key:
        """What tells a row from the others: workload, cell, precision, threads, engine."""
        return self.workload.name, self.cell, self.precision, self.threads, self.engine.name

    @property
    def folder(self) -> Path:
        """Where everything about this workload and cell lies."""
        return folder_of(self.workload, self.cell)

    def file(self, suffix: str) -> Path:
        """What the engine's conversion writes: one name an engine and precision."""
        return self.folder / f"{self.engine.name.replace(' ', '-')}-{self.precision}{suffix}"

    @property
    def made(self) -> Path:
        """The mark that the conversion is done."""
        return self.file(".made")

    @property
    def failed(self) -> Path:
        """The note of why it could not be done."""
        return self.file(".failed")

    def to_json(self) -> str:
        """The key as one line."""
        return json.dumps(self.key)

    @classmethod
    def from_json(cls, line: str) -> Case:
        """The case of such a line."""
        workload, cell, precision, threads, engine = json.loads(line)
        return cls(ENGINES[engine], WORKLOADS[workload], cell, precision, threads)


def cases(
    engines: Iterable[Engine],
    workloads: Iterable[Workload],
    precisions: Iterable[str],
    threads: Iterable[int],
    cells: Iterable[str] = tuple(GATES),
) -> Iterator[Case]:
    """Every case of these, those that are compared with each other together."""
    engines, precisions, threads = tuple(engines), set(precisions), tuple(threads)
    chosen = set(cells)
    for workload in workloads:
        for cell in [cell for cell in workload.cells if cell in chosen]:
            for count in threads:
                for engine in engines:
                    if engine.fits(workload):
                        for precision in engine.precisions:
                            if precision in precisions:
                                yield Case(engine, workload, cell, precision, count)
