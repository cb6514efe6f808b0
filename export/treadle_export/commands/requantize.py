"""The command `requantize`; torch and onnx are imported when it runs."""

from pathlib import Path
from typing import Any

import click

from treadle_export.commands.progress import progress_of
from treadle_export.commands.quantize_options import quantization_of, quantization_options
from treadle_export.commands.target_options import target_option
from treadle_export.commands.tune_options import opened_plan, tuning_of, tuning_options, written_of
from treadle_export.commands.written import show_written


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--precision", help="int8, int8-block, int4, float16 and others.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="NAME.treadle")
@target_option
@quantization_options
@tuning_options
@click.option("--force", is_flag=True, help="Replace an existing bundle.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def requantize(
    bundle: Path,
    precision: str | None,
    out: Path,
    target: str,
    calibration: int | None,
    plan_file: Path | None,
    max_quality_drop: float | None,
    screen_head: int | None,
    force: bool,
    as_json: bool,
    **tuning_given: Any,
) -> None:
    """Write the float32 BUNDLE in another precision; needs neither the run nor its network."""
    from treadle_export.exporting.requantize import requantize as write_requantized

    progress = progress_of(out)
    plan = opened_plan(plan_file, precision, progress)
    asked = quantization_of(calibration, plan, max_quality_drop, screen_head)
    tuning = tuning_of(precision, plan, progress, target=target, as_json=as_json, **tuning_given)
    if tuning is not None:
        from treadle_export.tuning.tune import tune_bundle

        tuned = tune_bundle(bundle, out, tuning, force=force, quantization=asked)
        report, document = tuned.report, written_of(tuned, **tuning_given)
    else:
        name = precision or plan.precision
        if name is None:
            raise click.UsageError("--precision is missing; a tuned --plan or --tune names it, too")
        report = write_requantized(
            bundle,
            out,
            name,
            force=force,
            quantization=asked,
            target=target,
            progress=progress,
        )
        document = {"precision": name}
    show_written(out, report, document, as_json=as_json)
