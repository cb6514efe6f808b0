"""The command `adopt`; torch and onnx are imported when it runs."""

from pathlib import Path
from typing import Any

import click

from treadle_export.commands.progress import progress_of
from treadle_export.commands.quantize_options import quantization_of, weight_options
from treadle_export.commands.target_options import precision_for, target_options
from treadle_export.commands.tune_options import opened_plan, tuning_of, tuning_options, written_of
from treadle_export.commands.written import show_written


@click.command()
@click.argument("source", metavar="SOURCE")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="NAME.treadle")
@target_options
@weight_options
@tuning_options
@click.option(
    "--checkpoint",
    type=click.Path(path_type=Path),
    help="State dict for the factory's module (.pt, .safetensors).",
)
@click.option("--state", "states", multiple=True, metavar="IN=OUT", help="A state of the graph.")
@click.option("--fix", "fixes", multiple=True, metavar="NAME=VALUE", help="A constant input.")
@click.option("--lengths", metavar="NAME", help="The input that says how long each row is.")
@click.option(
    "--inputs",
    type=click.Path(path_type=Path),
    help="Real inputs to prove the model on, and to round 4-bit weights with: .npy, one batch as "
    "the model reads it.",
)
@click.option("--licence", default="unknown", show_default=True, help="Of the weights.")
@click.option("--force", is_flag=True, help="Replace an existing bundle.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def adopt(
    source: str,
    out: Path,
    precision: str | None,
    target: str,
    plan_file: Path | None,
    screen_head: int | None,
    checkpoint: Path | None,
    states: tuple[str, ...],
    fixes: tuple[str, ...],
    lengths: str | None,
    inputs: Path | None,
    licence: str,
    force: bool,
    as_json: bool,
    **tuning_given: Any,
) -> None:
    """Turn a recurrent model of any origin into a bundle.

    SOURCE is FILE.onnx, FILE.keras, FILE.h5, or package.module:factory, where factory() gives a
    torch module and example inputs; the working directory is importable.
    """
    from treadle_export.bundle import refuse_taken
    from treadle_export.exporting.adopting import export_foreign
    from treadle_export.foreign import StatePair
    from treadle_export.sources.opening import open_source, with_inputs

    progress = progress_of(out)
    plan = opened_plan(plan_file, precision, progress)
    asked = quantization_of(None, plan, screen_head=screen_head)
    tuning = tuning_of(precision, plan, progress, target=target, as_json=as_json, **tuning_given)
    name = precision_for(target, precision or plan.precision)
    refuse_taken(out, force=force)
    foreign = open_source(
        source,
        checkpoint=checkpoint,
        fixed=dict(_pair(text, "--fix") for text in fixes),
        states=[StatePair(*_pair(text, "--state")) for text in states],
        lengths=lengths,
    )
    if inputs is not None:
        foreign = with_inputs(foreign, inputs)
    if tuning is not None:
        from treadle_export.tuning.tune import tune_foreign

        tuned = tune_foreign(foreign, out, tuning, licence=licence, force=force, quantization=asked)
        report, document = tuned.report, written_of(tuned, **tuning_given)
    else:
        report = export_foreign(
            foreign,
            {name: out},
            licence=licence,
            force=force,
            quantization=asked,
            target=target,
            progress=progress,
        )[name]
        document = {"precision": name}
    show_written(out, report, document, as_json=as_json)


def _pair(text: str, option: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not (name and sign and value):
        raise click.UsageError(f"{option} takes NAME=VALUE, got {text!r}")
    return name, value
