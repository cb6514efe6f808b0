"""The least time that a step can take on this machine: its weights read once, its sums made once.

The weights of a precision are so many bytes; `floor.c` measures how fast as many are read over and
over, so where they fit into a cache the cache is the measure. For many rows at once the sums take
longer than the reading, so it measures too how many multiply-adds there are in a second. The floor
is the longer of both. What an engine saves by another algorithm is not in it: a table in place of
an embedding's product and a screened head read less, and may come below.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass, field
from math import prod
from pathlib import Path

from benchmarks.peers.environments import last_lines
from benchmarks.peers.workloads import BUILD, Workload, shapes

SOURCE = Path(__file__).with_name("floor.c")
SECONDS = 0.15
BITS = {"fp32": 32, "int8": 8, "int4": 4}
BLOCK = 32
"""Weights of int4 that share a scale of 16 bits; a row of int8 has one of 32 bits."""
SUMS = {"fp32": "fp32", "int8": "int8", "int4": "int8"}
"""In which arithmetic products of a precision are summed."""


def matrices(workload: Workload, cell: str) -> list[tuple[str, int, int]]:
    """Name, rows and columns of every product of a step; looking up an embedding is none."""
    found = shapes(workload, cell)
    return [
        (name, shape[0], shape[1])
        for name, shape in found.items()
        if len(shape) == 2 and name != "embedding.weight"
    ]


def matrix_bytes(rows: int, columns: int, precision: str) -> int:
    """A matrix with its scales."""
    weights = rows * columns * BITS[precision] // 8
    return weights + {"fp32": 0, "int8": 4 * rows, "int4": rows * columns // BLOCK * 2}[precision]


def weight_bytes(workload: Workload, cell: str, precision: str) -> int:
    """All weights of a step, biases in float32."""
    biases = sum(prod(shape) for shape in shapes(workload, cell).values() if len(shape) == 1)
    products = matrices(workload, cell)
    return 4 * biases + sum(matrix_bytes(rows, columns, precision) for _, rows, columns in products)


def read_bytes(workload: Workload, cell: str, precision: str) -> int:
    """What one call reads: a tagger needs its recurrent matrices again for every token."""
    again = 0
    if workload.kind == "tagger":
        again = sum(
            matrix_bytes(rows, columns, precision)
            for name, rows, columns in matrices(workload, cell)
            if "weight_hh" in name
        )
    return weight_bytes(workload, cell, precision) + again * (workload.length - 1)


def multiply_adds(workload: Workload, cell: str) -> int:
    """Of all products of one call, for every stream or token; attention's own are left out."""
    times = workload.length if workload.kind == "tagger" else workload.streams
    return times * sum(rows * columns for _, rows, columns in matrices(workload, cell))


def built() -> Path | None:
    """The measuring program, made by the system's C compiler; None where there is none."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        return None
    program = BUILD / "floor"
    if not program.exists() or program.stat().st_mtime < SOURCE.stat().st_mtime:
        BUILD.mkdir(parents=True, exist_ok=True)
        command = [compiler, "-O3", "-pthread", str(SOURCE), "-o", str(program)]
        # Not every compiler knows the processor that it runs on; then the floor is a portable one.
        for native in (["-march=native"], []):
            done = subprocess.run([*command, *native], capture_output=True, text=True, check=False)
            if not done.returncode:
                return program
        raise RuntimeError(f"{compiler} could not build {SOURCE}: {last_lines(done.stderr)}")
    return program


@dataclass(slots=True)
class Floor:
    """What this machine can do, each figure measured when it is asked for first."""

    program: Path
    seconds: float = SECONDS
    known: dict[str, float] = field(default_factory=dict)

    def rate(self, what: str, threads: int) -> float:
        """Bytes, for "read BYTES", or multiply-adds, for "fp32" and "int8", in a second."""
        words = [*what.split(), str(threads)]
        key = " ".join(words)
        if key not in self.known:
            command = [str(self.program), *words, str(self.seconds)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            self.known[key] = float(done.stdout)
        return self.known[key]

    def microseconds(self, workload: Workload, cell: str, precision: str, threads: int) -> float:
        """The floor of a workload."""
        held = weight_bytes(workload, cell, precision)
        reading = read_bytes(workload, cell, precision) / self.rate(f"read {held}", threads)
        sums = multiply_adds(workload, cell) / self.rate(SUMS[precision], threads)
        return 1e6 * max(reading, sums)
