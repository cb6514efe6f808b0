"""How many more steps a second do many streams make through a pool than the tutorial way?

usage: python -m benchmarks.pool [--streams N] [--workload W] [--cell C] [--precision P] …

The tutorial way serves N streams with N calls of `session.run` with dictionaries, in float32, each
stream with its own state; beside it stand N streams of a bundle, stepped one after the other, and
the pool, which steps them in one call. One thread computes. They take turns, so that a busy moment
of the machine falls on all; the ratio is the median over the rounds.
"""

import argparse
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

import treadle
from benchmarks.printing import add_json, put
from benchmarks.step import TORCH, WORKLOADS, bundle_of, stream_step, tutorial_file, tutorial_step
from treadle.stopwatch import Latency, measure
from treadle_export.quantization.precision import PRECISIONS

TICKS = 30
TUTORIAL = "tutorial"


def one_after_the_other(steps: list[Callable[[], object]]) -> Callable[[], None]:
    """All streams, one call each."""

    def tick() -> None:
        for step in steps:
            step()

    return tick


def pooled(pool: treadle.Pool, count: int) -> Callable[[], None]:
    """All members in one call; each reads the symbol that it thinks likeliest."""
    reads: dict[treadle.Member, Any] = {pool.join(): np.int64(1) for _ in range(count)}

    def tick() -> None:
        for member, logits in pool.step(reads).items():
            reads[member] = logits.argmax()

    return tick


def timed(workload: str, cell: str, precision: str, streams: int, rounds: int) -> dict[str, Any]:
    """Every side's least disturbed time for a step of all streams, and its ratio."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        file = tutorial_file(cell, workload, folder)
        with treadle.load(bundle_of(cell, workload, precision, folder)) as model:
            alone = [stream_step(model) for _ in range(streams)]
            ticks = {
                TUTORIAL: one_after_the_other([tutorial_step(file) for _ in range(streams)]),
                f"{precision}, streams": one_after_the_other(alone),
                f"{precision}, pool": pooled(model.pool(streams), streams),
            }
            taken: dict[str, list[Latency]] = {name: [] for name in ticks}
            for _ in range(rounds):
                for name, tick in ticks.items():
                    taken[name].append(measure(tick, steps=TICKS, warmup=3))
    base = taken[TUTORIAL]
    sides = {
        name: {
            "p50_us": min(latency.p50_us for latency in latencies),
            "p99_us": min(latency.p99_us for latency in latencies),
            "steps_per_second": 1e6 * streams / min(latency.p50_us for latency in latencies),
            "times_faster": statistics.median(
                b.p50_us / latency.p50_us for b, latency in zip(base, latencies, strict=True)
            ),
        }
        for name, latencies in taken.items()
    }
    about = {"workload": workload, "cell": cell, "streams": streams, "threads": 1}
    return about | {"rounds": rounds, "onnxruntime": onnxruntime.__version__, "sides": sides}


def main() -> int:
    """Time and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--streams", type=int, default=32)
    parser.add_argument("--workload", choices=WORKLOADS, default="medium")
    parser.add_argument("--cell", choices=TORCH, default="lstm")
    parser.add_argument("--precision", choices=PRECISIONS, default="int8")
    parser.add_argument("--rounds", type=int, default=5)
    add_json(parser)
    arguments = parser.parse_args()
    report = timed(
        arguments.workload,
        arguments.cell,
        arguments.precision,
        arguments.streams,
        arguments.rounds,
    )
    lines = [
        f"{report['workload']} {report['cell']}, {report['streams']} streams, one thread",
        f"{'':16} {'p50 µs':>10} {'p99 µs':>10} {'steps/s':>10} {'times faster':>13}",
    ]
    for name, side in report["sides"].items():
        times = f"{side['p50_us']:10.0f} {side['p99_us']:10.0f}"
        rate = f"{side['steps_per_second']:10.0f} {side['times_faster']:13.1f}"
        lines.append(f"{name:16} {times} {rate}")
    put(report, lines, arguments.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
