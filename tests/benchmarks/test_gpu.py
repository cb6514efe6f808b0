"""The benchmark of GPUs, tried on the processor: its sides answer alike, and it says its needs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import onnxruntime
import pytest

from benchmarks import gpu

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_all_sides_step_the_same_model(cell: str) -> None:
    report = gpu.measured(cell, "small", [1, 3], "cpu")
    sides = {(side["side"], side["precision"], side["rows"]): side for side in report["sides"]}
    assert len(sides) == len(report["sides"]) == 2 * (1 + len(gpu.PRECISIONS))
    for (name, precision, _), side in sides.items():
        allowed = {"float32": 1e-5, "float16": 5e-3, "int4-block": 0.5}[precision]
        assert side["max_abs"] <= allowed, name
        assert side["floor_us"] > 0
    assert sum("small" in line or "Treadle" in line for line in gpu.lines_of(report)) == 7


@pytest.mark.skipif(
    "CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="there may be a GPU"
)
def test_without_a_gpu_it_says_what_it_needs() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: this benchmark needs a GPU")
