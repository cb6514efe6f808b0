"""Makes what cases need, then lets those that are compared take turns."""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from benchmarks.peers.environments import UnavailableError, last_lines, python_of
from benchmarks.peers.judging import allowed_error
from benchmarks.peers.rows import Absence, Row
from benchmarks.peers.worker import Worker
from benchmarks.peers.workloads import PREPARED, REFERENCE, ROOT, loaded

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchmarks.peers.case import Case
    from benchmarks.peers.floor import Floor

AT_ONCE = 2
"""Processes that load at the same time: loading is not timed."""


@dataclass(slots=True)
class Run:
    """How long, how often; what could not be had is gathered in `absent`."""

    rounds: int
    seconds: float
    most: int
    floor: Floor | None
    absent: list[Absence] = field(default_factory=list)
    pythons: dict[str, Path | UnavailableError] = field(default_factory=dict)

    def made(self, cases: Sequence[Case]) -> list[Case]:
        """Those cases whose environment and model are there, after making what was not."""
        for case in {case.folder: case for case in cases}.values():
            if not (case.folder / PREPARED).exists():
                _process(self.python("torch"), "preparing", case.workload.name, case.cell)
        for family in dict.fromkeys(case.engine.family for case in cases):
            own = [case for case in cases if case.engine.family == family]
            try:
                self._convert(own)
            except UnavailableError as reason:
                for case in own:
                    self._miss(case, str(reason))
        return [case for case in cases if not any(one.covers(case.key) for one in self.absent)]

    def _convert(self, cases: Sequence[Case]) -> None:
        """Make the models of one family that are not there, each once for all threads."""
        python = self.python(cases[0].engine.family)
        missing = {case.made: case for case in cases if case.engine.converts}
        missing = {made: case for made, case in missing.items() if not made.exists()}
        if not missing:
            return
        _process(python, "converting", *(case.to_json() for case in missing.values()))
        for made, case in missing.items():
            if not made.exists():
                self._miss(case, last_lines(case.failed.read_text(encoding="utf-8"), 1))

    def python(self, family: str) -> Path:
        """What runs a family; asked for once, since a failure would only be repeated."""
        if family not in self.pythons:
            try:
                self.pythons[family] = python_of(family)
            except UnavailableError as reason:
                self.pythons[family] = reason
        found = self.pythons[family]
        if isinstance(found, UnavailableError):
            raise found
        return found

    def _miss(self, case: Case, reason: str) -> None:
        workload, cell, precision, _, engine = case.key
        self.absent.append(Absence(engine, workload, cell, precision, reason))

    def rows(self, cases: Sequence[Case]) -> list[Row]:
        """Rows of cases of one workload, cell and number of threads, measured in turns."""
        with ExitStack() as stack, ThreadPoolExecutor(AT_ONCE) as loading:

            def opened(case: Case) -> tuple[Worker, dict[str, Any]] | UnavailableError:
                worker = Worker(case, self.python(case.engine.family))
                stack.push(worker)
                try:
                    return worker, worker.ready()
                except UnavailableError as reason:
                    return reason

            ready = {}
            for case, one in zip(cases, loading.map(opened, cases), strict=True):
                if isinstance(one, UnavailableError):
                    self._miss(case, str(one))
                else:
                    worker, said = one
                    ready[worker] = said
            return self._rounds(ready)

    def _rounds(self, ready: dict[Worker, dict[str, Any]]) -> list[Row]:
        figures: dict[Worker, list[dict[str, float]]] = {worker: [] for worker in ready}
        for _ in range(self.rounds):
            for worker in [*figures]:
                try:
                    figures[worker].append(worker.round(self.seconds, self.most))
                except UnavailableError as reason:
                    self._miss(worker.case, str(reason))
                    del figures[worker]
        return [self._row(worker.case, ready[worker], figures[worker]) for worker in figures]

    def _row(self, case: Case, ready: dict[str, Any], rounds: list[dict[str, float]]) -> Row:
        judged = case.engine.estimates or case.precision
        allowed = allowed_error(loaded(case.folder / REFERENCE), judged)
        key = (case.workload, case.cell, case.precision, case.threads)
        floor_us = None if self.floor is None else self.floor.microseconds(*key)
        return Row.of(case.key, ready, rounds, allowed, floor_us)


def _process(python: Path, module: str, *arguments: str) -> None:
    """Run a module of this package to its end. Raises UnavailableError with what it said last."""
    command = [str(python), "-m", f"benchmarks.peers.{module}", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UnavailableError(f"{module}: {last_lines(done.stderr, 1)}")
