"""Is a step on a GPU right, and how far from PyTorch and from the memory's speed is it?

usage: python -m benchmarks.gpu [--cell lstm|gru] [--workload small|medium] [--rows N …]
                                [--device cuda|cpu] [--json [FILE]]

One model with random weights, in float32, float16 and int4-block, exported for `cuda`: steps of 1,
32 and 256 rows, bound anew and as CUDA graphs. Beside it stands PyTorch: `nn.LSTM` on cuDNN, and
the same in a CUDA graph. Every side reads symbols from the host's memory and leaves logits there,
but for the one whose logits stay on the device. Parity is held against PyTorch in float32 on the
processor over carried steps of all rows: the largest difference, and how often the arg-max agrees.
The floor is the time to read the weights once at the bandwidth that this GPU copies with.
`--device cpu` only tries the script where there is no GPU.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray

import treadle
from benchmarks.printing import add_json, put
from benchmarks.step import WORKLOADS, TutorialStep
from treadle.errors import DeviceError
from treadle.stopwatch import measure
from treadle.vocabulary import Vocabulary
from treadle_export.bundle import Description, assemble, finished, write_bundle
from treadle_export.capturing.network import capture
from treadle_export.quantization.precision import lower, plan_of, precision_named
from treadle_export.targets import target_named
from treadle_export.targets.fitting import fitted
from treadle_train.networks import LanguageModel

PRECISIONS = ("float32", "float16", "int4-block")
ROWS = (1, 32, 256)
CARRIED, STEPS = 64, 300  # steps that parity is held over, and that are timed
BYTES = {"float32": 4.0, "float16": 2.0, "int4-block": 0.5 + 4 / 32}  # of a weight, scales included
COPIED = {"cuda": 1 << 30, "cpu": 1 << 26}  # bytes, more than a cache holds
CALLS = {  # of Treadle: whether a CUDA graph makes the step
    "Treadle": False,
    "Treadle, CUDA graph": True,
    "Treadle, graph, stays": True,
}
PARTS = {
    "weight_ih": "input_weights",
    "weight_hh": "recurrent_weights",
    "bias_ih": "input_bias",
    "bias_hh": "recurrent_bias",
}

Ids = NDArray[np.int64]
Step = Callable[[Ids], Any]
"""Ids int64 [rows] -> logits float32 [rows, V], of numpy or onnxruntime, the state carried."""


def tutorial_of(network: LanguageModel, cell: str, sizes: tuple[int, int, int]) -> TutorialStep:
    """PyTorch's own layers with the network's weights."""
    weights = network.state_dict()
    module = TutorialStep(cell, *sizes).eval()
    named = {name: weights[name] for name in ("embedding.weight", "output.weight", "output.bias")}
    for layer in range(sizes[2]):
        for theirs, ours in PARTS.items():
            name = f"recurrent.layers.{layer}.forward_cell.{ours}"
            named[f"recurrent.{theirs}_l{layer}"] = weights[name]
    module.load_state_dict(named)
    return module


class TorchStep:
    """A tutorial's step on a device, its state carried in place."""

    def __init__(self, module: TutorialStep, rows: int, device: str) -> None:
        self.module = module.to(device)
        layers, size = module.recurrent.num_layers, module.recurrent.hidden_size
        count = 1 + isinstance(module.recurrent, torch.nn.LSTM)
        self.states = [torch.zeros(layers, rows, size, device=device) for _ in range(count)]
        self.token = torch.zeros(rows, 1, dtype=torch.int64, device=device)
        self.logits = torch.zeros(rows, module.output.out_features, device=device)
        self.move: Callable[[], None] = self._move

    def _move(self) -> None:
        logits, *after = self.module(self.token, *self.states)
        self.logits.copy_(logits[:, 0])
        for state, new in zip(self.states, after, strict=True):
            state.copy_(new)

    def __call__(self, ids: Ids) -> NDArray[np.float32]:
        """One step: ids from the host, logits to it."""
        with torch.inference_mode():
            self.token.copy_(torch.from_numpy(ids)[:, None])
            self.move()
            made: NDArray[np.float32] = self.logits.cpu().numpy()
        return made

    def captured(self) -> "TorchStep":
        """Itself, its steps from now on replays of a CUDA graph."""
        beside: Any = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        beside.wait_stream(torch.cuda.current_stream())
        with torch.inference_mode():
            with torch.cuda.stream(beside):
                for _ in range(3):
                    self._move()
            torch.cuda.current_stream().wait_stream(beside)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                self._move()
            for state in self.states:
                state.zero_()
        self.move = graph.replay
        return self


def bundle_of(network: LanguageModel, precision: str, folder: Path) -> Path:
    """A bundle for `cuda`, without evidence; once."""
    path = folder / f"{precision}.treadle"
    if path.exists():
        return path
    target, canonical = target_named("cuda"), capture(network)
    chosen = target.suited(precision_named(precision), canonical)
    words = map(str, range(1, network.embedding.num_embeddings))
    symbols = Vocabulary(["<unknown>", *words], "symbols", unknown=0)
    about = Description("gpu", {"symbols": symbols}, {"start": 1}, {}, {}, {})
    lowered = fitted(target, lower(canonical, chosen))
    parts = assemble(lowered, about, precision, plan_of(canonical, chosen), target="cuda")
    write_bundle(path, finished(parts, {}))
    return path


def sides(
    network: LanguageModel, module: TutorialStep, rows: int, device: str, folder: Path
) -> Iterator[tuple[str, str, Step]]:
    """Name, precision and step of every side; each is gone before the next comes."""
    yield "PyTorch", "float32", TorchStep(module, rows, device)
    if device == "cuda":
        yield "PyTorch, CUDA graph", "float32", TorchStep(module, rows, device).captured()
    for precision in PRECISIONS:
        path = bundle_of(network, precision, folder)
        for name, captured in list(CALLS.items())[: len(CALLS) if device == "cuda" else 1]:
            with treadle.load(path, device=device, cuda_graph=captured) as model:
                stream = model.stream(batch_size=rows)
                yield (
                    name,
                    precision,
                    (
                        stream.step_on_device
                        if "stays" in name
                        else partial(stream.step, copy=False)
                    ),
                )


def parity(step: Step, ids: NDArray[np.int64], expected: NDArray[np.float32]) -> dict[str, float]:
    """Largest difference and share of equal arg-max over carried steps, ids [steps, rows]."""
    given = (step(one) for one in ids)
    found = np.stack([np.array(y if isinstance(y, np.ndarray) else y.numpy()) for y in given])
    return {
        "max_abs": float(np.abs(found - expected).max()),
        "argmax_agreement": float((found.argmax(-1) == expected.argmax(-1)).mean()),
    }


def bandwidth(device: str) -> float:
    """Bytes a second that a copy within the device's memory reads and writes."""
    here = torch.ones(COPIED[device] // 4, device=device)
    there = torch.empty_like(here)
    taken = []
    for _ in range(5):
        began = time.perf_counter()
        there.copy_(here)
        if device == "cuda":
            torch.cuda.synchronize()
        taken.append(time.perf_counter() - began)
    return 2 * COPIED[device] / min(taken)


def measured(cell: str, workload: str, rows: list[int], device: str) -> dict[str, Any]:
    """Parity and latency of every side for every number of rows."""
    sizes = WORKLOADS[workload]
    torch.manual_seed(0)
    network = LanguageModel(sizes[0], sizes[1], *sizes[1:], cell).eval()
    speed = bandwidth(device)
    read = sum(p.numel() for name, p in network.named_parameters() if "embedding" not in name)
    found = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        for count in rows:
            random = np.random.default_rng(0)
            ids = random.integers(0, sizes[0], (CARRIED, count))
            reference = TorchStep(tutorial_of(network, cell, sizes), count, "cpu")
            expected = np.stack([reference(one).copy() for one in ids])
            module = tutorial_of(network, cell, sizes)
            for name, precision, step in sides(network, module, count, device, folder):
                agreement = parity(step, ids, expected)
                timed = measure(partial(step, ids[0]), steps=STEPS, warmup=30)
                floor = read * BYTES[precision] / speed * 1e6
                found.append(
                    {
                        "side": name,
                        "precision": precision,
                        "rows": count,
                        "p50_us": timed.p50_us,
                        "p99_us": timed.p99_us,
                        "steps_per_second": count / timed.p50_us * 1e6,
                        "floor_us": floor,
                        **agreement,
                    }
                )
    return {
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
        "workload": workload,
        "cell": cell,
        "bytes_per_second": speed,
        "onnxruntime": onnxruntime.__version__,
        "torch": torch.__version__,
        "sides": found,
    }


def lines_of(report: dict[str, Any]) -> Iterator[str]:
    """The report as a table."""
    yield (
        f"{report['workload']} {report['cell']} on {report['device']}, whose memory copies "
        f"{report['bytes_per_second'] / 1e9:,.0f} GB a second"
    )
    yield (
        f"{'':22} {'':>8} {'rows':>5} {'p50 µs':>9} {'p99 µs':>9} {'rows/s':>11} "
        f"{'of floor':>9} {'max diff':>9} {'same':>7}"
    )
    for side in report["sides"]:
        yield (
            f"{side['side']:22} {side['precision']:>8} {side['rows']:5} {side['p50_us']:9.1f} "
            f"{side['p99_us']:9.1f} {side['steps_per_second']:11,.0f} "
            f"{side['p50_us'] / side['floor_us']:9.1f} {side['max_abs']:9.1e} "
            f"{side['argmax_agreement']:7.1%}"
        )


def main() -> int:
    """Check, time and print; the status says whether there was a device to do so on."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--cell", choices=("lstm", "gru"), default="lstm")
    parser.add_argument("--workload", choices=WORKLOADS, default="medium")
    parser.add_argument("--rows", type=int, action="append", help=f"by default {ROWS}")
    parser.add_argument("--device", choices=COPIED, default="cuda")
    add_json(parser)
    asked = parser.parse_args()
    provider = "CUDAExecutionProvider"
    if asked.device == "cuda" and not (
        torch.cuda.is_available() and provider in onnxruntime.get_available_providers()
    ):
        raise DeviceError(
            "this benchmark needs a GPU, a PyTorch with CUDA and onnxruntime-gpu; "
            "--device cpu tries the script without"
        )
    report = measured(asked.cell, asked.workload, asked.rows or list(ROWS), asked.device)
    put(report, lines_of(report), asked.json)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except DeviceError as error:
        sys.exit(f"error: {error}")
