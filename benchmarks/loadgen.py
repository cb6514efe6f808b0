"""Does MLPerf's LoadGen, which times the same calls by its own rules, agree with our own loop?

usage: python -m benchmarks.loadgen [--workload W] [--cell C] [--precision P …] [--rounds N]

`step` of `treadle bench` and LoadGen's SingleStream take turns on one bundle, so that a busy moment
of the machine falls on both; the ratio is the median over the rounds of LoadGen's median to ours.
LoadGen calls Python and is told of the answer by Python, some microseconds a query: they weigh on
the small workload, hardly on the medium one.
"""

import argparse
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.printing import add_json, put
from benchmarks.step import TORCH, WORKLOADS, bundle_of
from treadle.bench.report import measured
from treadle.bench.sampling import Patience
from treadle.bench.scenarios import Sizes
from treadle.golden import Golden
from treadle_export.quantization.precision import PRECISIONS

SCENARIO = "SingleStream"
NANOSECONDS = "50.00 percentile latency (ns)"
READ = 512  # recorded symbols, read again and again


def trace(vocabulary: int) -> Golden:
    """A trace of which only the input is of use: symbols at random."""
    none, read = np.zeros(0, np.int64), np.random.default_rng(0).integers(1, vocabulary, READ)
    return Golden(none, read, {}, none, none, {}, {}, {})


def timed(
    workload: str, cell: str, precision: str, rounds: int, patience: Patience
) -> dict[str, Any]:
    """Both sides' least disturbed median in microseconds, and their ratio."""
    sizes = Sizes()
    ours: list[float] = []
    theirs: list[float] = []
    with tempfile.TemporaryDirectory() as scratch:
        golden = trace(WORKLOADS[workload][0])
        bundle = bundle_of(cell, workload, precision, Path(scratch), golden)
        for _ in range(rounds):
            own = measured(bundle, scenarios=["step"], sizes=sizes, patience=patience)
            ours.append(own["scenarios"][0]["p50_us"])
            driven = measured(bundle, scenarios=[SCENARIO], sizes=sizes, patience=patience)
            theirs.append(driven["loadgen"][0]["summary"][NANOSECONDS] / 1000)
    return {
        "precision": precision,
        "step_p50_us": min(ours),
        "loadgen_p50_us": min(theirs),
        "ratio": statistics.median(t / o for t, o in zip(theirs, ours, strict=True)),
    }


def main() -> int:
    """Time and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--workload", choices=WORKLOADS, default="medium")
    parser.add_argument("--cell", choices=TORCH, default="lstm")
    parser.add_argument("--precision", action="append", choices=PRECISIONS, default=None)
    parser.add_argument("--rounds", type=int, default=5)
    add_json(parser)
    arguments = parser.parse_args()
    patience = Patience(calls=2000, seconds=2.0)
    rows = [
        timed(arguments.workload, arguments.cell, precision, arguments.rounds, patience)
        for precision in arguments.precision or ["float32", "int8"]
    ]
    what = f"{arguments.workload} {arguments.cell}, median µs of a step"
    lines = [f"{what}: {'ours':>9} {'LoadGen':>9} {'ratio':>7}"]
    for row in rows:
        figures = f"{row['step_p50_us']:9.1f} {row['loadgen_p50_us']:9.1f} {row['ratio']:7.3f}"
        lines.append(f"{row['precision']:{len(what) + 1}} {figures}")
    put({"workload": arguments.workload, "rows": rows}, lines, arguments.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
