"""What does a device pay for Treadle beside the engine: bytes, cold start and memory?

usage: python -m benchmarks.footprint [--workload W] [--cell C] [--precision P] [--rounds N]
                                      [--json [FILE]]

Bytes: the runtime as one file (`treadle runtime`), its package with docstrings and commands, and
all that the wheel installs. Cold start: from nothing imported to the first answer of a bundle, in a
fresh process, beside onnxruntime's own import and the opening of the same step graph, without a
step. They take turns, so that a busy moment of the machine falls on both; the ratio is the median
over the rounds. Memory: what the process then holds.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import treadle
import treadle_export
import treadle_train
from benchmarks.printing import add_json, put
from benchmarks.step import TORCH, WORKLOADS, bundle_of
from treadle.bundle import open_bundle
from treadle.slim import write_runtime
from treadle_export.quantization.precision import PRECISIONS

TREADLE, ENGINE = "treadle", "onnxruntime"
PROGRAMS = {
    TREADLE: """
import treadle
with treadle.load(path) as model:
    model.stream().step([1])
    tell()
""",
    ENGINE: """
import onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
tell()
""",
}
FRESH = """
import json, sys, time
began = time.perf_counter()
path = sys.argv[1]
def tell():
    took = time.perf_counter() - began
    status = dict(line.split(":", 1) for line in open("/proc/self/status"))
    print(json.dumps({"ms": 1000 * took, "mb": int(status["VmRSS"].split()[0]) / 1000}))
"""
"""What every fresh process begins with: the clock, before anything of either side is imported."""


def started(program: str, path: Path) -> dict[str, float]:
    """Milliseconds until it was ready, and megabytes that it then held."""
    command = [sys.executable, "-c", FRESH + program, str(path)]
    # pip compiles what it installs; a checkout is compiled by the first start, which is left out.
    compiled = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=compiled)
    told: dict[str, float] = json.loads(done.stdout)
    return told


def cold_starts(workload: str, cell: str, precision: str, rounds: int) -> dict[str, Any]:
    """Medians of both sides, and their ratio."""
    taken: dict[str, list[dict[str, float]]] = {TREADLE: [], ENGINE: []}
    with tempfile.TemporaryDirectory() as scratch:
        bundle = bundle_of(cell, workload, precision, Path(scratch))
        step = bundle / open_bundle(bundle).manifest.graphs["step"].file
        for _ in range(rounds + 1):  # the first one reads from the disk
            for name, path in ((TREADLE, bundle), (ENGINE, step)):
                taken[name].append(started(PROGRAMS[name], path))
    kept = {name: told[1:] for name, told in taken.items()}
    ratios = [t["ms"] / o["ms"] for t, o in zip(kept[TREADLE], kept[ENGINE], strict=True)]
    return {
        "sides": {
            name: {key: statistics.median(one[key] for one in told) for key in ("ms", "mb")}
            for name, told in kept.items()
        },
        "ratio": statistics.median(ratios),
    }


def bytes_of(package: Any) -> int:
    """Of a package's files, bytecode left out."""
    files = [path for path in Path(package.__file__).parent.rglob("*") if path.is_file()]
    return sum(path.stat().st_size for path in files if path.suffix != ".pyc")


def installed() -> dict[str, int]:
    """Bytes of the runtime in each form, and of everything."""
    with tempfile.TemporaryDirectory() as scratch:
        slim = write_runtime(Path(scratch) / "runtime.zip").stat().st_size
    runtime = bytes_of(treadle)
    everything = runtime + bytes_of(treadle_train) + bytes_of(treadle_export)
    return {"one file": slim, "package": runtime, "wheel": everything}


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--workload", choices=WORKLOADS, default="medium")
    parser.add_argument("--cell", choices=TORCH, default="lstm")
    parser.add_argument("--precision", choices=PRECISIONS, default="int8")
    parser.add_argument("--rounds", type=int, default=9)
    add_json(parser)
    asked = parser.parse_args()
    sizes = installed()
    cold = cold_starts(asked.workload, asked.cell, asked.precision, asked.rounds)
    lines = [f"installed, {form:20} {size:10,} bytes" for form, size in sizes.items()]
    what = f"{asked.workload} {asked.cell} {asked.precision}"
    lines += [
        f"{name:12} {what}: ready after {side['ms']:6.1f} ms, holding {side['mb']:6.1f} MB"
        for name, side in cold["sides"].items()
    ]
    lines.append(f"ratio of the cold starts {cold['ratio']:.2f}")
    put({"installed_bytes": sizes, "cold_start": cold}, lines, asked.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
