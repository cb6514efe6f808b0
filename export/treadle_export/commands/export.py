"""The command `export`; torch and onnx are imported when it runs."""

from pathlib import Path
from typing import Any

import click

from treadle_export.commands.one_call_options import (
    check_unasked,
    one_call_options,
    write_generate,
)
from treadle_export.commands.progress import progress_of
from treadle_export.commands.quantize_options import quantization_of, quantization_options
from treadle_export.commands.target_options import precision_for, target_options
from treadle_export.commands.triton_target import write_triton
from treadle_export.commands.tune_options import opened_plan, tuning_of, tuning_options, written_of
from treadle_export.commands.written import show_written


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="NAME.treadle, or NAME.onnx."
)
@target_options
@quantization_options
@tuning_options
@one_call_options
@click.option("--force", is_flag=True, help="Replace an existing bundle.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def export(
    run: Path,
    out: Path,
    precision: str | None,
    target: str,
    calibration: int | None,
    plan_file: Path | None,
    max_quality_drop: float | None,
    screen_head: int | None,
    force: bool,
    as_json: bool,
    graph: str,
    search: str | None,
    text: bool,
    **given: Any,
) -> None:
    """Export a trained RUN as a bundle, its parity proven on the way."""
    decoding = {name: given.pop(name) for name in ("beam", "n_best", "top_k", "top_p", "min_p")}
    if graph == "generate":
        write_generate(
            run, out, precision, force=force, as_json=as_json, search=search, text=text, **decoding
        )
        return
    if target == "triton":
        write_triton(run, out, precision, force=force, as_json=as_json)
        return
    check_unasked({"search": search, "text": text, **decoding})
    from treadle_export.exporting.exporter import export_run
    from treadle_train.run import load_run

    progress = progress_of(out)
    plan = opened_plan(plan_file, precision, progress)
    asked = quantization_of(calibration, plan, max_quality_drop, screen_head)
    tuning = tuning_of(precision, plan, progress, target=target, as_json=as_json, **given)
    if tuning is not None:
        from treadle_export.tuning.tune import tune_run

        tuned = tune_run(load_run(run), out, tuning, force=force, quantization=asked)
        report, document = tuned.report, written_of(tuned, **given)
    else:
        name = precision_for(target, precision or plan.precision)
        report = export_run(
            load_run(run),
            {name: out},
            force=force,
            quantization=asked,
            target=target,
            progress=progress,
        )[name]
        document = {"precision": name}
    show_written(out, report, document, as_json=as_json)
