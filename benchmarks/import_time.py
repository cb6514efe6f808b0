"""How long does `import treadle` take beyond `import numpy`, each in a fresh interpreter?

usage: python -m benchmarks.import_time [--rounds N] [--json [FILE]]

A device pays this at every start, so the budget is numpy's own time plus 60 ms; over it the exit
status is 1. The two are timed in turn, so that a busy moment of the machine falls on both, and
compared by their medians.
"""

import argparse
import statistics
import subprocess
import sys
from dataclasses import asdict, dataclass

from benchmarks.printing import add_json, put

BUDGET_MS = 60.0
TIMED_IMPORT = (
    "import time; start = time.perf_counter(); import {module}; "
    "print((time.perf_counter() - start) * 1e3)"
)


@dataclass(frozen=True, slots=True)
class ImportTime:
    """Medians over the rounds, in milliseconds."""

    numpy_ms: float
    treadle_ms: float
    budget_ms: float
    rounds: int

    @property
    def passed(self) -> bool:
        """Whether the import stays within its budget."""
        return self.treadle_ms <= self.numpy_ms + self.budget_ms


def import_ms(module: str) -> float:
    """Import `module` in a new interpreter; the milliseconds it took there."""
    command = [sys.executable, "-c", TIMED_IMPORT.format(module=module)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def measure(rounds: int) -> ImportTime:
    """Time both imports `rounds` times, after one round that only writes the bytecode caches."""
    times = [(import_ms("numpy"), import_ms("treadle")) for _ in range(rounds + 1)][1:]
    numpy_ms, treadle_ms = (statistics.median(column) for column in zip(*times, strict=True))
    return ImportTime(numpy_ms, treadle_ms, BUDGET_MS, rounds)


def main() -> int:
    """Measure, print, and return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=9)
    add_json(parser)
    arguments = parser.parse_args()
    result = measure(arguments.rounds)
    line = (
        f"import numpy {result.numpy_ms:.0f} ms, import treadle {result.treadle_ms:.0f} ms; "
        f"budget {result.numpy_ms + result.budget_ms:.0f} ms"
    )
    put(asdict(result) | {"passed": result.passed}, [line], arguments.json)
    return 0 if result.passed else 1


if __name__ == "__main__":
    sys.exit(main())
