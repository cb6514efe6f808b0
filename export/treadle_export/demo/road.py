"""The demo: the whole road on real data, from a word list to a stream, in minutes.

Trains a pronunciation model and a small character model, exports both in float32 and int8, climbs
the parity ladder, measures quality and latency through the bundles, and lets them speak.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

import treadle
from treadle.commands.verify import describe
from treadle.data import open_dataset
from treadle.evaluation import Evaluation, evaluate
from treadle.language_model import LanguageModel
from treadle.model import Model
from treadle.selfcheck import Report
from treadle.stopwatch import Latency, measure
from treadle.transducer import Transducer
from treadle_export.demo.torch_step import TorchStream, fastest
from treadle_export.exporting.exporter import export_run
from treadle_train.catalogue import load_recipe
from treadle_train.run import Run
from treadle_train.training import train

PRONOUNCE = "pronounce-en"
CHARACTERS = "characters"
SMALL: dict[str, tuple[str, ...]] = {
    PRONOUNCE: (),
    # Enough to show a stream that writes; the recipe as it stands trains longer.
    CHARACTERS: ("training.epochs=3",),
}
PRECISIONS = ("float32", "int8")
STEPS, ROUNDS = 1000, 5
NEW_WORDS = ("zorblification", "quizzotron", "snorkelbatics", "unfluffable", "gramblewick")
PROMPT = "The class "
SAMPLED = 400


@dataclass(frozen=True, slots=True)
class Measured:
    """One bundle of the demo: its figures beside PyTorch's."""

    path: Path
    precision: str
    evaluation: Evaluation
    step: Latency
    torch_step: Latency

    @property
    def bytes(self) -> int:
        """Size of all files."""
        return sum(file.stat().st_size for file in self.path.iterdir())

    def to_json(self) -> dict[str, Any]:
        """The figures as one JSON object."""
        figures = self.evaluation.to_json()
        return {
            "path": str(self.path),
            "precision": self.precision,
            "bytes": self.bytes,
            **{key: figures[key] for key in ("metric", "unit", "value", "examples")},
            "step_p50_us": self.step.p50_us,
            "step_p99_us": self.step.p99_us,
            "torch_step_p50_us": self.torch_step.p50_us,
            "torch_threads": self.torch_step.threads,
        }


def run_demo(out: Path, *, quiet: bool = False) -> dict[str, Any]:
    """Runs the demo in the directory `out` and returns its report; `quiet` talks to stderr."""
    console = Console(stderr=quiet)
    out.mkdir(parents=True, exist_ok=True)
    measured: list[Measured] = []
    ladders: dict[str, Report] = {}
    for name, changes in SMALL.items():
        console.rule(f"[bold]{name}: train")
        run = train(load_recipe(name, changes), out / "runs" / name, resume=True)
        console.rule(f"[bold]{name}: export")
        bundles = {precision: out / f"{name}-{precision}.treadle" for precision in PRECISIONS}
        reports = export_run(run, bundles, force=True, progress=console.print)
        console.print(describe(reports["int8"].to_json()))
        for precision, path in bundles.items():
            ladders[str(path)] = reports[precision]
            console.print(f"{path.name}: evaluate and time")
            measured.append(_measured(run, path, precision))
    console.rule("[bold]results")
    console.print(_table(measured))
    document = _document(measured, ladders, out / f"{PRONOUNCE}-int8.treadle")
    (out / "report.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    _speak(out, console)
    return document


def _document(
    measured: list[Measured], ladders: dict[str, Report], headline: Path
) -> dict[str, Any]:
    return {
        "bundles": [row.to_json() for row in measured],
        "ladder": ladders[str(headline)].to_json(),
        "ladders": {path: report.to_json() for path, report in ladders.items()},
    }


def _measured(run: Run, path: Path, precision: str) -> Measured:
    with treadle.load(path, unknown="symbol") as model:
        evaluation = evaluate(model)
        source = _source(model)
        # In turns, so that a busy moment of the machine falls on both sides; the least disturbed
        # round of each counts.
        rounds = [(_timed_stream(model, source), _timed_torch(run, source)) for _ in range(ROUNDS)]
        ours, torchs = zip(*rounds, strict=True)
        return Measured(path, precision, evaluation, min(ours, key=_p50), min(torchs, key=_p50))


def _p50(latency: Latency) -> float:
    return latency.p50_us


def _source(model: Model) -> list[int]:
    """What the timed decoder attends to: a word of common length; empty without an encoder."""
    if not isinstance(model, Transducer):
        return []
    return model.vocabularies["input"].encode("streaming")


def _timed_stream(model: Model, source: list[int]) -> Latency:
    """Token in, arg-max out: a greedy decoder's step, state carried."""
    with model.stream([source]) if source else model.stream() as stream:
        token = np.array([1], np.int64)

        def step() -> None:
            token[0] = stream.step(token, copy=False)[0].argmax()

        return measure(step, steps=STEPS)


def _timed_torch(run: Run, source: list[int]) -> Latency:
    def make_step() -> Any:
        stream = TorchStream(run.network, torch.tensor([source]) if source else None)
        token = torch.tensor([1])

        def step() -> None:
            token[0] = stream.step(token)[0].argmax()

        return step

    return fastest(make_step, steps=STEPS)


def _table(measured: list[Measured]) -> Table:
    table = Table(title="one step of decoding, beside PyTorch's median", padding=(0, 0))
    for title in ("bundle", "", "kB", "quality", "p50 µs", "p99 µs", "PyTorch"):
        left = title in ("bundle", "")
        table.add_column(title, justify="left" if left else "right", no_wrap=True)
    for row in measured:
        unit = row.evaluation.unit.replace("bits/character", "bit/char")
        quality = f"{row.evaluation.value:.2f} {unit}"
        table.add_row(
            row.path.stem.removesuffix(f"-{row.precision}"),
            row.precision,
            f"{row.bytes / 1000:,.0f}",
            quality,
            f"{row.step.p50_us:.1f}",
            f"{row.step.p99_us:.1f}",
            f"{row.torch_step.p50_us:.1f}",
        )
    return table


def _speak(out: Path, console: Console) -> None:
    """Words that the dictionary lacks, and text as it is made."""
    known = {
        example.inputs
        for split in ("train", "validation", "test")
        for example in open_dataset("cmudict", {"seed": 0}).split(split)
    }
    words = [word for word in NEW_WORDS if word not in known]
    console.rule("[bold]words that the dictionary lacks")
    with treadle.load(out / f"{PRONOUNCE}-int8.treadle") as transducer:
        if isinstance(transducer, Transducer):
            for word, (best,) in zip(words, transducer.transduce(words), strict=True):
                console.print(f"{word:>16}  {best.text}", highlight=False)
    console.rule("[bold]text, streamed one character at a time")
    with treadle.load(out / f"{CHARACTERS}-int8.treadle") as writer:
        if isinstance(writer, LanguageModel):
            console.print(PROMPT, end="", highlight=False, markup=False)
            for symbol in writer.generate(PROMPT, max_length=SAMPLED, temperature=0.6, seed=1):
                console.print(symbol, end="", highlight=False, markup=False, soft_wrap=True)
    console.print()
