"""What does a step of a stream cost above the engine's own call on bound buffers?

usage: python -m benchmarks.overhead [--rounds N] [--json [FILE]]

A small language model in int8 (1 LSTM layer of 128, 64 symbols) is stepped by its stream, with and
without a copy of the outputs, and by the same two bindings called in turns by hand. The three take
turns in short runs; a figure is the least disturbed run, the overhead the median of differences.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from onnxruntime import RunOptions

import treadle
from benchmarks.printing import add_json, put
from benchmarks.step import bundle_of
from treadle.bound_step import bind

STEPS = 200


def bare(model: treadle.Model) -> Callable[[], None]:
    """Two steps of the engine, as a loop by hand would call them."""
    session, graph = model.session("step"), model.manifest.graphs["step"]
    fixed: dict[str, Any] = {graph.inputs[0].name: np.ones(1, np.int64)}
    outputs = {t.name: np.zeros((1, int(t.shape[1])), t.dtype) for t in graph.outputs}
    pairs = {p: np.zeros((2, 1, int(p.shape[1])), p.dtype) for p in graph.state}
    bindings = [
        bind(
            session,
            fixed | {port.input: pair[old] for port, pair in pairs.items()},
            outputs | {port.output: pair[new] for port, pair in pairs.items()},
        )
        for old, new in ((0, 1), (1, 0))
    ]
    call, options = session._sess.run_with_iobinding, RunOptions()
    first, second = (binding._iobinding for binding, _ in bindings)

    def steps() -> None:
        call(first, options)
        call(second, options)

    steps.kept = bindings  # type: ignore[attr-defined] # with the buffers that the engine reads
    return steps


def timed(rounds: int) -> dict[str, dict[str, float]]:
    """Microseconds a step of each way, and above the bare call."""
    with tempfile.TemporaryDirectory() as folder:
        path = bundle_of("lstm", "small", "int8", Path(folder))
        with treadle.load(path) as model:
            stream, token, engine = model.stream(), np.ones(1, np.int64), bare(model)

            def twice(*, copy: bool) -> Callable[[], None]:
                def steps() -> None:
                    stream.step(token, copy=copy)
                    stream.step(token, copy=copy)

                return steps

            ways = {"bound call": engine, "copy=False": twice(copy=False), "step": twice(copy=True)}
            taken: dict[str, list[float]] = {name: [] for name in ways}
            for _ in range(rounds):
                for name, steps in ways.items():
                    began = time.perf_counter()
                    for _ in range(STEPS):
                        steps()
                    taken[name].append((time.perf_counter() - began) / (2 * STEPS) * 1e6)
    base = taken["bound call"]
    return {
        name: {
            "step_us": min(times),
            "above_us": statistics.median(t - b for b, t in zip(base, times, strict=True)),
        }
        for name, times in taken.items()
    }


def main() -> int:
    """Time and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=100)
    add_json(parser)
    arguments = parser.parse_args()
    report = timed(arguments.rounds)
    lines = [
        f"{name:12} {figures['step_us']:7.2f} µs, {figures['above_us']:5.2f} µs above"
        for name, figures in report.items()
    ]
    put(report, lines, arguments.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
