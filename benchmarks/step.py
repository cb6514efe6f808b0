"""How many times faster is one step of a bundle than the tutorial way, at batch 1 and one thread?

usage: python -m benchmarks.step [--workload W] [--cell lstm|gru|elman] [--precision P …]
                                 [--rounds N] [--json [FILE]]

The tutorial way is `torch.onnx.export` of one step in float32 and `session.run` with dictionaries;
beside it stands onnxruntime's own `quantize_dynamic` of the same file. Each side reads a token,
makes logits and takes their arg-max. They take turns, so that a busy moment of the machine falls on
all; the ratio is the median over the rounds. Weights are random: speed does not depend on them.
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
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from torch import Tensor, nn

import treadle
from benchmarks.printing import add_json, put
from treadle.golden import GOLDEN_FILE, Golden
from treadle.language_model import LanguageModel as Bundle
from treadle.stopwatch import Latency, measure
from treadle.vocabulary import Vocabulary
from treadle_export.bundle import Description, assemble, finished, write_bundle
from treadle_export.capturing.network import capture
from treadle_export.quantization.precision import PRECISIONS, lower, plan_of, precision_named
from treadle_train.networks import LanguageModel

WORKLOADS = {"small": (64, 128, 1), "medium": (10_000, 512, 2)}
"""Vocabulary, hidden and embedding size, layers."""
TORCH = {"lstm": nn.LSTM, "gru": nn.GRU, "elman": nn.RNN}
STEPS = {"small": 2000, "medium": 200}
TUTORIAL = "tutorial"

Step = Callable[[], object]


class TutorialStep(nn.Module):
    """One step as a tutorial writes it: token and states in, logits and states out."""

    def __init__(self, cell: str, vocabulary: int, size: int, layers: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, size)
        self.recurrent = TORCH[cell](size, size, layers, batch_first=True)
        self.output = nn.Linear(size, vocabulary)

    def forward(self, token: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """Token [1, 1] and states [layers, 1, size] -> logits [1, 1, V] and states."""
        start = state if len(state) > 1 else state[0]
        y, end = self.recurrent(self.embedding(token), start)
        return (self.output(y), *(end if isinstance(end, tuple) else (end,)))


def tutorial_file(cell: str, workload: str, folder: Path) -> Path:
    """The exported step, in float32."""
    vocabulary, size, layers = WORKLOADS[workload]
    module = TutorialStep(cell, vocabulary, size, layers).eval()
    states = [torch.zeros(layers, 1, size) for _ in range(1 + (cell == "lstm"))]
    path = folder / "tutorial.onnx"
    torch.onnx.export(
        module, (torch.zeros(1, 1, dtype=torch.int64), *states), path, dynamo=True, verbose=False
    )
    return path


def tutorial_step(path: Path) -> Step:
    """`session.run` with dictionaries, the state carried by hand."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    token, *states = session.get_inputs()
    feeds: dict[str, Any] = {value.name: np.zeros(value.shape, np.float32) for value in states}
    feeds[token.name] = np.ones((1, 1), np.int64)

    def step() -> None:
        logits, *after = session.run(None, feeds)
        feeds[token.name] = logits.argmax(-1)
        feeds.update(zip((value.name for value in states), after, strict=True))

    return step


def bundle_of(
    cell: str, workload: str, precision: str, folder: Path, golden: Golden | None = None
) -> Path:
    """A bundle of the same sizes, without evidence but the trace `golden`."""
    vocabulary, size, layers = WORKLOADS[workload]
    canonical = capture(LanguageModel(vocabulary, size, size, layers, cell).eval())
    chosen = precision_named(precision)
    symbols = Vocabulary(["<unknown>", *map(str, range(1, vocabulary))], "symbols", unknown=0)
    about = Description("step", {"symbols": symbols}, {"start": 1}, {}, {}, {})
    plan = plan_of(canonical, chosen)
    path = folder / f"{precision}.treadle"
    parts = assemble(lower(canonical, chosen), about, precision, plan)
    if golden is not None:
        parts.evidence_files[GOLDEN_FILE] = golden.to_bytes()
    write_bundle(path, finished(parts, {}))
    return path


def stream_step(model: Bundle) -> Step:
    """`Stream.step` on prebound buffers."""
    stream = model.stream()
    token = np.ones(1, np.int64)

    def step() -> None:
        token[0] = stream.step(token, copy=False)[0].argmax()

    return step


def timed(workload: str, cell: str, precisions: list[str], rounds: int) -> dict[str, Any]:
    """Every side's least disturbed latency, and its median ratio to the tutorial way."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        file = tutorial_file(cell, workload, folder)
        theirs = folder / "quantize_dynamic.onnx"
        quantize_dynamic(file, theirs, weight_type=QuantType.QInt8)
        steps = {TUTORIAL: tutorial_step(file), "quantize_dynamic": tutorial_step(theirs)}
        for precision in precisions:
            model = treadle.load(bundle_of(cell, workload, precision, folder))
            steps[f"treadle {precision}"] = stream_step(model)
        taken: dict[str, list[Latency]] = {name: [] for name in steps}
        for _ in range(rounds):
            for name, step in steps.items():
                taken[name].append(measure(step, steps=STEPS[workload], warmup=20))
    base = taken[TUTORIAL]
    sides = {
        name: {
            "p50_us": min(latency.p50_us for latency in latencies),
            "p99_us": min(latency.p99_us for latency in latencies),
            "times_faster": statistics.median(
                b.p50_us / latency.p50_us for b, latency in zip(base, latencies, strict=True)
            ),
        }
        for name, latencies in taken.items()
    }
    return {
        "workload": workload,
        "cell": cell,
        "threads": 1,
        "rounds": rounds,
        "onnxruntime": onnxruntime.__version__,
        "torch": torch.__version__,
        "sides": sides,
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
    precisions = arguments.precision or list(PRECISIONS)
    report = timed(arguments.workload, arguments.cell, precisions, arguments.rounds)
    lines = [
        f"{report['workload']} {report['cell']}, one step at batch 1, one thread",
        f"{'':24} {'p50 µs':>9} {'p99 µs':>9} {'times faster':>13}",
    ]
    for name, side in report["sides"].items():
        figures = f"{side['p50_us']:9.1f} {side['p99_us']:9.1f} {side['times_faster']:13.1f}"
        lines.append(f"{name:24} {figures}")
    put(report, lines, arguments.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
