"""What does each precision cost a trained run: bytes, likelihood, error rate, drift?

usage: quantization.py RUN [--precision P …] [--limit N] [--steps N] [--keep DIR] [--json]

Every precision is exported on the ordinary road and read back through the runtime. Perplexity is
teacher-forced over the test split, its rise paired symbol by symbol with float32, with 95 %
confidence. `int4 nearest` is int4 without calibration, its scales the best of each block; `int4
plain` is rounding as textbooks have it, which the exporter does not offer: the largest weight of a
block gives its scale. Drift is the largest difference between a bundle and float32 while both carry
their own state over the same real symbols, of the outputs and of the states: its maximum over the
first and over the last tenth of the steps. Beside it stands how large the states are there: a
cell state has no bound, and where it grows with the text its difference does, too. Divergence is
what the same steps say of quality without the luck of which symbols come next: KL(float32 | bundle)
of the next symbol, as a rise of perplexity, of language models (a transducer's steps here all read
one source).
"""

import argparse
import json
import math
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

import treadle
from treadle.decoding.decoder import log_softmax
from treadle.evaluation import evaluate, symbol_nats
from treadle.metrics import paired_rise
from treadle.model import Model
from treadle_export.exporting.exporter import export_run
from treadle_export.parity.trace import trace_of
from treadle_export.quantization.quantizer import Quantization
from treadle_export.rounding import gptq
from treadle_train.quantization.blocks import BLOCKS, BlockForm, search_scales
from treadle_train.run import Run, load_run

NEAREST, PLAIN = "int4 nearest", "int4 plain"
LM = "language-modelling"
PRECISIONS = ("float32", "int8", PLAIN, NEAREST, *BLOCKS)
COLUMNS = (
    ("precision", "{name:14}"),
    ("bytes", "{share:7.3f}"),
    ("perplexity", "{perplexity:10.4f}"),
    ("rise %", "{rise:+8.3f}"),
    ("95 % confidence", "{interval:>19}"),
    ("divergence %", "{divergence:12.3f}"),
    ("figure", "{figure:9.4f}"),
    ("outputs first", "{outputs_first:13.2e}"),
    ("last", "{outputs_last:9.2e}"),
    ("states first", "{states_first:12.2e}"),
    ("last", "{states_last:9.2e}"),
    ("batch", "{batch:9.1e}"),
    ("chunk", "{chunk:9.1e}"),
)


def exported(run: Run, precisions: list[str], folder: Path) -> dict[str, Path]:
    """One bundle for each precision; whatever quality is lost is what is measured here."""
    asked = [name for name in precisions if name not in (NEAREST, PLAIN)]
    bundles = {name: folder / f"{name}.treadle" for name in asked}
    anything = Quantization(max_quality_drop=0.99)

    def say(stage: str) -> None:
        print(stage, file=sys.stderr)

    export_run(run, bundles, force=True, quality_limit=100, quantization=anything, progress=say)
    blind = Quantization(calibration=0, max_quality_drop=0.99)
    for name in (NEAREST, PLAIN):
        if name in precisions:
            bundles[name] = folder / f"{name.replace(' ', '-')}.treadle"
            outs = {"int4-block": bundles[name]}
            scales = plain_scales if name == PLAIN else search_scales
            with patch.object(gptq, "search_scales", scales):
                export_run(
                    run, outs, force=True, quality_limit=100, quantization=blind, progress=say
                )
    return bundles


def plain_scales(weights: NDArray[np.float32], form: BlockForm) -> NDArray[np.float32]:
    """The largest magnitude of each block over the highest level, float32 [C, N]."""
    starts = range(0, len(weights), form.block_size)
    largest = [np.abs(weights[k : k + form.block_size]).max(axis=0) for k in starts]
    scales = np.stack(largest) / (2 ** (form.bits - 1) - 1)
    scales[scales == 0] = 1
    return np.asarray(scales, np.float32)


@dataclass(frozen=True, slots=True)
class Carried:
    """What a stream made of real symbols: outputs [steps, V] and all states [steps, …]."""

    outputs: NDArray[np.float32]
    states: NDArray[np.float32]


def carried(path: Path, run: Run, steps: int) -> Carried:
    """One stream over the trace of a run."""
    trace = trace_of(run, steps)
    outputs, states = [], []
    with treadle.load(path) as model:
        stream = model.stream([trace.source.tolist()]) if trace.source.size else model.stream()
        for token in trace.inputs:
            outputs.append(stream.step(token[None])[0])
            states.append(np.concatenate([array.ravel() for array in stream.state().values()]))
    return Carried(np.stack(outputs), np.stack(states))


def drift(values: NDArray[np.float32], base: NDArray[np.float32]) -> tuple[float, float]:
    """Largest difference over the first and over the last tenth of the steps."""
    largest = np.abs(values - base).max(axis=1)
    tenth = max(1, len(largest) // 10)
    return float(largest[:tenth].max()), float(largest[-tenth:].max())


def divergence(outputs: NDArray[np.float32], base: NDArray[np.float32]) -> float:
    """Mean KL divergence of the next symbol's distribution, in nats."""
    before, after = log_softmax(base), log_softmax(outputs)
    return float((np.exp(before) * (before - after)).sum(axis=-1).mean())


def size_of(path: Path) -> int:
    """Bytes of all files of a bundle."""
    return sum(file.stat().st_size for file in path.iterdir())


def figures(model: Model, limit: int | None) -> tuple[NDArray[np.float64], float, dict[str, Any]]:
    """Nats a symbol on the test split, the task's own figure, recorded invariance."""
    nats = symbol_nats(model, split="test", limit=limit)
    own = evaluate(model, split="test", limit=limit).value
    return nats, own, model.manifest.evidence["invariance"]


def measured(run: Run, precisions: list[str], folder: Path, arguments: Any) -> list[dict[str, Any]]:
    """One row a precision, float32 first."""
    bundles = exported(run, precisions, folder)
    plain_bytes = size_of(bundles["float32"])
    base = carried(bundles["float32"], run, arguments.steps)
    state_first, state_last = drift(base.states, np.zeros_like(base.states))
    rows: list[dict[str, Any]] = []
    before: NDArray[np.float64] | None = None
    for name in precisions:
        with treadle.load(bundles[name], unknown="symbol") as model:
            nats, own, invariance = figures(model, arguments.limit)
        before = nats if before is None else before
        own_steps = carried(bundles[name], run, arguments.steps)
        outputs_first, outputs_last = drift(own_steps.outputs, base.outputs)
        states_first, states_last = drift(own_steps.states, base.states)
        apart = divergence(own_steps.outputs, base.outputs) if run.network.task == LM else math.nan
        rise = paired_rise(before, nats)
        mean = float(before.mean())
        # perplexity is exp(nats): a rise of the mean by r nats multiplies it by exp(r)
        change, low, high = (
            100 * math.expm1(mean * share) for share in (rise.relative, rise.low, rise.high)
        )
        rows.append(
            {
                "name": name,
                "bytes": size_of(bundles[name]),
                "share": size_of(bundles[name]) / plain_bytes,
                "nats": float(nats.mean()),
                "perplexity": math.exp(nats.mean()),
                "nats_rise": 100 * rise.relative,
                "rise": change,
                "interval": f"[{low:+.3f}, {high:+.3f}]",
                "symbols": len(nats),
                "figure": own,
                "divergence": 100 * math.expm1(apart),
                "outputs_first": outputs_first,
                "outputs_last": outputs_last,
                "states_first": states_first,
                "states_last": states_last,
                "state_first": state_first,
                "state_last": state_last,
                "batch": invariance["batch"],
                "chunk": invariance["chunk"],
            }
        )
    return rows


def main() -> int:
    """Export, measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--precision", action="append", choices=PRECISIONS, default=None)
    parser.add_argument("--limit", type=int, help="examples of the test split; all by default")
    parser.add_argument("--steps", type=int, default=10_000, help="that drift is carried over")
    parser.add_argument("--keep", type=Path, help="folder that the bundles stay in")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    chosen = arguments.precision or list(PRECISIONS)
    precisions = ["float32", *(name for name in chosen if name != "float32")]
    run = load_run(arguments.run)
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        rows = measured(run, precisions, folder, arguments)
    if arguments.json:
        print(json.dumps({"run": run.name, "steps": arguments.steps, "rows": rows}, indent=1))
        return 0
    print(f"{run.name}: {rows[0]['symbols']:,} test symbols, drift over {arguments.steps:,} steps")
    print("largest state {state_first:.3g} first, {state_last:.3g} last".format(**rows[0]))
    widths = [len(form.format(**rows[0])) for _, form in COLUMNS]
    print(" ".join(f"{title:>{w}}" for (title, _), w in zip(COLUMNS, widths, strict=True)))
    for row in rows:
        print(" ".join(form.format(**row) for _, form in COLUMNS))
    return 0


if __name__ == "__main__":
    sys.exit(main())
