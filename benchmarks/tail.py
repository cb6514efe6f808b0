"""How far is the 99th percentile of 100,000 steps of one stream from their median?

usage: python -m benchmarks.tail [--workload small|medium] [--cell lstm] [--precision int8]
                                 [--steps N] [--rounds N] [--json [FILE]]

One stream on one thread, every step timed by itself. Each round is printed, none is left out: what
else runs on the machine shows in the tail first.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import treadle
from benchmarks.printing import add_json, put
from benchmarks.step import WORKLOADS, bundle_of, stream_step
from treadle.stopwatch import measure


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--workload", choices=WORKLOADS, default="medium")
    parser.add_argument("--cell", choices=("lstm", "gru", "elman"), default="lstm")
    parser.add_argument("--precision", default="int8")
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    add_json(parser)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = bundle_of(arguments.cell, arguments.workload, arguments.precision, Path(folder))
        with treadle.load(path) as model:
            step = stream_step(model)
            rounds = [measure(step, steps=arguments.steps) for _ in range(arguments.rounds)]
    what = f"{arguments.workload} {arguments.cell} {arguments.precision}, 1 thread"
    lines = [
        f"{what}: {latency.steps} steps, p50 {latency.p50_us:.1f} µs, "
        f"p99 {latency.p99_us:.1f} µs, p99 / p50 {latency.p99_us / latency.p50_us:.2f}"
        for latency in rounds
    ]
    put([latency.to_json() for latency in rounds], lines, arguments.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
