"""Runs many cases in processes of their own, and says which one ended its process or hung."""

from __future__ import annotations

import collections
import os
import re
import subprocess
import sys
from dataclasses import dataclass, field

from tests.project.repository import ROOT

REPLAY = "python -m tests.runtime.fuzzing"
_LINE = re.compile(r"^(begin|end) (\d+) ?(.*)$", re.MULTILINE)


@dataclass
class Report:
    """How many cases ended in each way, and what went wrong: a line a fault, with its replay."""

    outcomes: collections.Counter[str] = field(default_factory=collections.Counter)
    faults: list[str] = field(default_factory=list)

    def add_fault(self, seed: int, what: str) -> None:
        self.outcomes["fault"] += 1
        self.faults.append(f"{what}\n    replay: {REPLAY} {seed} --keep case.treadle")


def run_cases(first: int, count: int, batch: int, command: list[str] | None = None) -> Report:
    """Run the cases `first`, `first` + 1, …; `batch` of them a process.

    `command`: in place of the module that runs cases; it gets the first and how many.
    """
    report = Report()
    seed, end = first, first + count
    while seed < end:
        seed = _one_process(seed, min(batch, end - seed), report, command)
    return report


def _one_process(first: int, count: int, report: Report, command: list[str] | None) -> int:
    """Run some cases; the first one that was not begun."""
    command = command or [sys.executable, "-m", "tests.runtime.fuzzing"]
    made = subprocess.run(
        [*command, str(first), str(count)],
        capture_output=True,
        text=True,
        errors="replace",
        cwd=ROOT,
        # What glibc finds wrong with its heap it would print to a terminal.
        env=os.environ | {"OMP_NUM_THREADS": "1", "LIBC_FATAL_STDERR_": "1"},
    )
    began = None
    # An engine prints lines of its own.
    for word, number, outcome in _LINE.findall(made.stdout):
        began = int(number) if word == "begin" else None
        if outcome.startswith("fault"):
            report.add_fault(int(number), f"case {number}: {outcome}")
        elif outcome:
            report.outcomes[outcome] += 1
    if began is not None:
        report.add_fault(
            began, f"case {began} ended its process ({made.returncode}): {_end_of(made.stderr)}"
        )
        return began + 1
    if made.returncode:  # before the first case or after the last one
        raise RuntimeError(f"the cases cannot be run: {_end_of(made.stderr)}")
    return first + count


def _end_of(text: str) -> str:
    """The last lines; of a hang, with the stacks that were printed."""
    return "\n".join(text.splitlines()[-30:])
