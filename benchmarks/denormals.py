"""Do denormal numbers slow a step down, and whom does the engine's option to flush them reach?

usage: python -m benchmarks.denormals [--rounds N] [--json [FILE]]

Steps of one small layer from states of ordinary size and from states that are all denormal: the
least disturbed run of each. Then, in fresh processes, whether numpy in the calling thread flushes
after a session that keeps them, one that flushes, or both in either order were opened.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

import treadle
from benchmarks.printing import add_json, put
from benchmarks.step import bundle_of

STATES = {"ordinary": 0.5, "denormal": 1e-40}
STEPS = 100
ORDERS = ("0", "1", "01", "10")  # what the sessions of a process set, one after another
REACHED = """
import sys
import numpy, onnxruntime
from benchmarks.printing import add_json, put
for flush in sys.argv[2]:
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.set_denormal_as_zero", flush)
    onnxruntime.InferenceSession(sys.argv[1], options)
print(bool((numpy.full(4, 1e-40, "f4") * numpy.float32(0.5) == 0).all()))
"""


def timed(path: Path, rounds: int) -> dict[str, float]:
    """Microseconds of a step from each kind of state."""
    with treadle.load(path) as model:
        session, graph = model.session("step"), model.manifest.graphs["step"]
        best = dict.fromkeys(STATES, float("inf"))
        for _ in range(rounds):
            for name, value in STATES.items():
                feeds: dict[str, Any] = {graph.inputs[0].name: np.ones(1, np.int64)}
                for port in graph.state:
                    feeds[port.input] = np.full((1, int(port.shape[1])), value, np.float32)
                start = time.perf_counter()
                for _ in range(STEPS):
                    session.run(None, feeds)
                best[name] = min(best[name], (time.perf_counter() - start) / STEPS * 1e6)
    return best


def reached(path: Path) -> dict[str, bool]:
    """Order of sessions -> whether numpy flushes in the thread that opened them."""
    found = {}
    for order in ORDERS:
        command = [sys.executable, "-c", REACHED, str(path / "step.onnx"), order]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        found[order] = done.stdout.strip() == "True"
    return found


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=50)
    add_json(parser)
    arguments = parser.parse_args()
    report: dict[str, Any] = {"step_us": {}}
    with tempfile.TemporaryDirectory() as folder:
        for cell in ("lstm", "gru", "elman"):
            for precision in ("float32", "int8"):
                path = bundle_of(cell, "small", precision, Path(folder) / cell)
                report["step_us"][f"{cell} {precision}"] = timed(path, arguments.rounds)
        report["numpy_flushes"] = reached(path)
    lines = [
        f"{name:14} " + ", ".join(f"{kind} {us:.2f} µs" for kind, us in figures.items())
        for name, figures in report["step_us"].items()
    ]
    lines += [
        f"sessions that set {', then '.join(order)}: numpy flushes: {flushes}"
        for order, flushes in report["numpy_flushes"].items()
    ]
    put(report, lines, arguments.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
