"""ncnn: TorchScript converted by pnnx; int8 weights as its own tool would write them.

It has no batch: streams that step at once are stepped one after the other.
"""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.peers.ncnn_weights import quantize
from benchmarks.peers.workloads import REFERENCE, STEP_SCRIPT, loaded

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from benchmarks.peers.case import Case
    from benchmarks.peers.workloads import Ids, Workload


def version() -> str:
    """Of the package."""
    import ncnn

    return str(ncnn.__version__)


def convert(case: Case) -> None:
    """TorchScript to a float32 model, which is quantized."""
    source = case.folder / "ncnn-fp32"
    if not source.with_suffix(".param").exists():
        _convert_float32(case, source)
    if case.precision == "int8":
        quantize(
            *(source.with_suffix(".param"), source.with_suffix(".bin")),
            *(case.file(".param"), case.file(".bin")),
        )


def _convert_float32(case: Case, out: Path) -> None:
    """Call pnnx, in a folder of its own for all that it writes beside the model."""
    scratch = case.folder / "pnnx"
    scratch.mkdir(exist_ok=True)
    # Not its script, which knows the environment by the path that it was made in.
    program = [sys.executable, "-c", "import sys, pnnx; sys.exit(pnnx.pnnx())"]
    arguments = [
        str(case.folder / STEP_SCRIPT),
        f"inputshape={','.join(_shapes(case.workload, case.cell))}",
        "fp16=0",
        *(f"ncnnparam={out}.param", f"ncnnbin={out}.bin", "ncnnpy=ncnn.py"),
        *("pnnxparam=pnnx.param", "pnnxbin=pnnx.bin", "pnnxpy=pnnx.py", "pnnxonnx=pnnx.onnx"),
    ]
    subprocess.run([*program, *arguments], cwd=scratch, check=True, stdout=subprocess.DEVNULL)
    for path in scratch.iterdir():
        path.unlink()


def _shapes(workload: Workload, cell: str) -> list[str]:
    """Of the inputs of one stream's step, as pnnx reads them."""
    if workload.kind == "tagger":
        return [f"[{workload.length},1]i64"]
    state = f"[{workload.layers},1,{workload.hidden}]f32"
    memory = [f"[{workload.length},{workload.hidden}]f32"] if workload.kind == "decoder" else []
    return ["[1]i64", *[state] * (2 if cell == "lstm" else 1), *memory]


def load(case: Case) -> NetRunner:
    """The network in plain float32 or int8: x86 has no half-precision arithmetic that ncnn uses."""
    import ncnn

    net = ncnn.Net()
    net.opt.num_threads = case.threads
    net.opt.use_vulkan_compute = False
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
    for name, fill in ((".param", net.load_param), (".bin", net.load_model)):
        if fill(str(case.file(name))):
            raise RuntimeError(f"ncnn could not read {case.file(name)}")
    return NetRunner(net, case)


class NetRunner:
    """An extractor a step and stream; its outputs are cloned, since they die with it."""

    def __init__(self, net: Any, case: Case) -> None:
        import ncnn

        self._net, self._matrix = net, ncnn.Mat
        self._tagger = case.workload.kind == "tagger"
        count = 0 if self._tagger else 2 if case.cell == "lstm" else 1
        # A matrix does not keep the array alive whose memory it shares.
        self._kept = [np.zeros((case.workload.layers, case.workload.hidden), np.float32)] * count
        self._attended = []
        if case.workload.kind == "decoder":
            self._kept.append(loaded(case.folder / REFERENCE)["memory"])
            self._attended = [ncnn.Mat(self._kept[-1])]
        self._zeros = [ncnn.Mat(array).clone() for array in self._kept[:count]]
        self._states = [self._zeros] * case.workload.streams

    def start(self) -> None:
        """Zeros for every stream."""
        self._states = [self._zeros] * len(self._states)

    def step(self, tokens: Ids) -> NDArray[np.float32]:
        """Every stream by itself; of a tagger the whole sentence."""
        read = tokens.astype(np.int32).reshape(-1)
        if self._tagger:
            sentence: NDArray[np.float32] = self._run(read, [])[0]
            return sentence
        rows = []
        for stream, state in enumerate(self._states):
            logits, self._states[stream] = self._run(read[stream : stream + 1], state)
            rows.append(logits.reshape(-1))
        return np.stack(rows)

    def _run(self, read: NDArray[np.int32], states: list[Any]) -> tuple[Any, list[Any]]:
        with self._net.create_extractor() as extractor:
            given = [self._matrix(read), *states, *self._attended]
            for index, matrix in enumerate(given):
                extractor.input(f"in{index}", matrix)
            logits = np.array(extractor.extract("out0")[1])
            after = [extractor.extract(f"out{1 + i}")[1].clone() for i in range(len(states))]
        return logits, after
