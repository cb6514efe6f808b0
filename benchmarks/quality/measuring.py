"""One row of the table: trained or taken, exported, evaluated through its bundles.

Each stage leaves something whole behind, and one whose work is there is not done again: so an
interruption costs the stage that it interrupts, and a training goes on from its checkpoint.
"""

from __future__ import annotations

import math
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import treadle
from benchmarks.quality.counting import COUNTED
from benchmarks.quality.predictions import predictions_sha256
from benchmarks.quality.results import Result
from treadle.data import open_dataset
from treadle.errors import DataError, ExportError, ParityError, QualityError
from treadle.evaluation import Evaluation, evaluate
from treadle_export.exporting.exporter import export_run
from treadle_export.exporting.requantize import requantize
from treadle_export.quantization.precision import PRECISIONS
from treadle_export.quantization.quantizer import Quantization
from treadle_train.evaluation import evaluate_run
from treadle_train.run import WEIGHTS, Run
from treadle_train.training import train

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.quality.rows import Row

QUANTIZED = ("int8", "int4")
FEW = 200
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Workshop:
    """Where the work of all rows is kept: `runs`/ROW, and `bundles`/ROW-PRECISION.treadle.

    progress: told each stage as it begins.
    """

    runs: Path
    bundles: Path
    progress: Callable[[str], None] = lambda _: None

    def run(self, row: Row) -> Path:
        """The run of a row."""
        return self.runs / row.name

    def bundle(self, row: Row, precision: str) -> Path:
        """The bundle of a row."""
        return self.bundles / f"{row.name}-{precision}.treadle"

    def has(self, row: Row, precision: str, since: Path) -> bool:
        """Whether the bundle is there, and not older than the file it was made of."""
        manifest = self.bundle(row, precision) / "manifest.json"
        return manifest.exists() and manifest.stat().st_mtime >= since.stat().st_mtime


def measure(row: Row, shop: Workshop) -> Result:
    """Train, export and evaluate a row; what is there is taken.

    Raises RecipeError where the run that is there has another recipe, and what training, export and
    evaluation raise; a precision that is refused becomes a note.
    """
    shop.progress(f"{row.name}: train")
    run = train(row.load(), shop.run(row), resume=True)
    if not shop.has(row, "float32", run.path / WEIGHTS):
        shop.progress(f"{row.name}: export")
        export_run(run, {"float32": shop.bundle(row, "float32")}, force=True)
    shop.progress(f"{row.name}: evaluate")
    judged = evaluate_run(run.path)
    metric = row.metric or judged.metric
    return _quantized(
        row,
        shop,
        Result(
            recipe=row.name,
            metric=metric,
            higher_is_better=judged.higher_is_better,
            target=_held_against(row.target, run, metric),
            torch=in_metric(judged, metric),
            float32=in_metric(_evaluated(shop.bundle(row, "float32")), metric),
            int8=None,
            int4=None,
            baseline=_held_against(row.baseline, run, metric),
            examples=judged.examples,
            seconds=round(sum(epoch["seconds"] for epoch in run.history), 1),
            bytes_int8=None,
            seed=run.recipe.training.seed,
            digest=None,
            commit=_commit(),
            predictions_sha256=None,
            first_200=None,
            command=f"python -m benchmarks.quality {row.name}",
        ),
        anew=False,
    )


def renew(row: Row, shop: Workshop, before: Result) -> Result:
    """Quantize the float32 bundle of a row anew and measure it, without training.

    The other figures stay as `before` has them. Raises DataError where the bundle is not there.
    """
    if not shop.bundle(row, "float32").exists():
        raise DataError(f"there is no {shop.bundle(row, 'float32')}: make the row first")
    emptied = replace(before, commit=_commit(), notes={})
    return _quantized(row, shop, emptied, anew=True)


def in_metric(evaluation: Evaluation, metric: str) -> float:
    """The figure in a metric, which may be another unit of the same. Raises DataError."""
    if evaluation.metric == metric:
        return evaluation.value
    if (evaluation.metric, metric) == ("bits_per_character", "nats_per_character"):
        return evaluation.value * math.log(2.0)
    raise DataError(f"expected a row in {evaluation.metric}, got one in {metric}; change the row")


def _quantized(row: Row, shop: Workshop, result: Result, *, anew: bool) -> Result:
    """The result with the figures of the precisions that float32 becomes, or why there is none."""
    figures: dict[str, Any] = dict.fromkeys(QUANTIZED)
    notes = {}
    for precision in QUANTIZED:
        shop.progress(f"{row.name}: {precision}")
        try:
            path = _written(row, shop, precision, anew=anew)
        except ExportError as error:
            notes[precision] = f"refused ({error})"
            continue
        figures[precision] = in_metric(_evaluated(path), result.metric)
        if precision == "int8":
            figures |= _identity(path, result.metric)
    return replace(result, **figures, notes=notes)


def _written(row: Row, shop: Workshop, precision: str, *, anew: bool) -> Path:
    source, out = shop.bundle(row, "float32"), shop.bundle(row, precision)
    if not anew and shop.has(row, precision, source / "manifest.json"):
        return out
    try:
        requantize(source, out, precision, force=True)
    except (
        ParityError,
        QualityError,
    ):  # then with some weights in a safer precision, if that is enough
        asked = Quantization(max_quality_drop=PRECISIONS[precision].budget)
        requantize(source, out, precision, force=True, quantization=asked)
    return out


def _evaluated(path: Path, limit: int | None = None) -> Evaluation:
    with treadle.load(path, unknown="symbol") as model:
        return evaluate(model, limit=limit)


def _identity(path: Path, metric: str) -> dict[str, Any]:
    """What tells this bundle from another, and its answers from another's."""
    with treadle.load(path, unknown="symbol") as model:
        said = model.manifest.evaluation
        examples = open_dataset(said["dataset"], said["options"]).split("test")
        return {
            "bytes_int8": sum(file.stat().st_size for file in path.iterdir()),
            "digest": model.manifest.digest,
            "predictions_sha256": predictions_sha256(model, examples),
            "first_200": in_metric(evaluate(model, limit=FEW), metric),
        }


def _held_against(value: float | str | None, run: Run, metric: str) -> float | None:
    return COUNTED[value](run, metric) if isinstance(value, str) else value


def _commit() -> str:
    """The commit of the code, marked where a room differs from it."""

    def git(*arguments: str) -> str:
        asked = ["git", "-C", str(ROOT), *arguments]
        return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()

    changed = git("status", "--porcelain", "--", "runtime", "train", "export")
    return git("rev-parse", "--short=12", "HEAD") + ("-changed" if changed else "")
