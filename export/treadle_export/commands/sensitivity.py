"""The command `sensitivity`; torch and onnx are imported when it runs."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from treadle_export.commands.progress import progress_of
from treadle_export.commands.quantize_options import calibration_option

if TYPE_CHECKING:
    from treadle_export.quantization.quantizer import Quantizer


@click.command()
@click.argument("source", metavar="RUN_OR_BUNDLE", type=click.Path(path_type=Path))
@click.option("--precision", default="int4", show_default=True, help="What each matrix becomes.")
@calibration_option
@click.option("--limit", type=click.IntRange(min=1), help="Validation examples that are read.")
@click.option("--gates/--no-gates", default=True, show_default=True, help="Each gate alone, too.")
@click.option(
    "--plot", type=click.Path(path_type=Path, dir_okay=False), help="Write a picture, FILE.png."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def sensitivity(
    source: Path,
    precision: str,
    calibration: int | None,
    limit: int | None,
    gates: bool,
    plot: Path | None,
    as_json: bool,
) -> None:
    """Say which weights of a run, or of a float32 bundle, hurt most when quantized alone."""
    from treadle_export.judging.judge import Judge
    from treadle_export.judging.sensitivity import sensitivity as measure
    from treadle_export.judging.sensitivity_report import as_table, write_plot
    from treadle_export.quantization.precision import precision_named

    progress = progress_of(source)
    quantizer = _quantizer(source, calibration, progress)
    result = measure(
        Judge(quantizer, limit), precision_named(precision), by_gate=gates, progress=progress
    )
    if plot is not None:
        write_plot(result, plot)
    click.echo(json.dumps(result.to_json()) if as_json else as_table(result))


def _quantizer(source: Path, calibration: int | None, progress: Any) -> "Quantizer":
    """The model of a run directory, or of a bundle."""
    from treadle.manifest import MANIFEST_FILE
    from treadle_export.quantization.quantizer import Quantizer

    if (source / MANIFEST_FILE).exists():
        from treadle_export.exporting.reopened import reopened

        plain = reopened(source)
        return Quantizer(plain.model, plain.description, calibration, progress)
    from treadle_export.capturing.network import capture
    from treadle_export.exporting.material import description_of
    from treadle_export.rounding.learned_blocks import learned_blocks
    from treadle_train.run import load_run

    run = load_run(source)
    return Quantizer(
        capture(run.network),
        description_of(run),
        calibration,
        progress,
        learned=learned_blocks(run),
    )
