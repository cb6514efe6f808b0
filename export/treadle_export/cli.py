"""The commands `export` and `demo`; torch and onnx are imported when they run."""

import json
from pathlib import Path

import click

from treadle_export.cli_quantize import quantization_of, quantization_options


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="NAME.treadle")
@click.option(
    "--precision",
    default="float32",
    show_default=True,
    help="float32, int8, int8-block, int4, int4-fast, int8-tensorwise or float16.",
)
@quantization_options
@click.option(
    "--target",
    type=click.Choice(["cpu"]),
    default="cpu",
    expose_value=False,  # the only one so far
    help="What the bundle is built for.",
)
@click.option("--force", is_flag=True, help="Replace an existing bundle.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def export(
    run: Path,
    out: Path,
    precision: str,
    calibration: int | None,
    plan_file: Path | None,
    max_quality_drop: float | None,
    screen_head: int | None,
    force: bool,
    as_json: bool,
) -> None:
    """Export a trained RUN as a bundle, its parity proven on the way."""
    from treadle.commands.verify import describe
    from treadle_export.exporter import export_run
    from treadle_train.run import load_run

    report = export_run(
        load_run(run),
        {precision: out},
        force=force,
        quantization=quantization_of(calibration, plan_file, max_quality_drop, screen_head),
        progress=lambda stage: click.echo(f"{out.name}: {stage}", err=True),
    )[precision]
    if as_json:
        click.echo(json.dumps({"path": str(out), "precision": precision, **report.to_json()}))
    else:
        click.echo(describe(report.to_json()))


@click.command()
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("build/demo"),
    show_default=True,
    help="Directory for runs, bundles and report.json.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as one JSON document.")
def demo(out: Path, as_json: bool) -> None:
    """Train, export, verify and time models in a few minutes, then let them speak."""
    from treadle_export.demo import run_demo

    report = run_demo(out, quiet=as_json)
    if as_json:
        click.echo(json.dumps(report))


@click.command()
@click.argument("source", metavar="SOURCE")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="NAME.treadle")
@click.option("--precision", default="float32", show_default=True, help="As treadle export.")
@click.option(
    "--checkpoint",
    type=click.Path(path_type=Path),
    help="State dict for the factory's module (.pt, .safetensors).",
)
@click.option("--state", "states", multiple=True, metavar="IN=OUT", help="A state of the graph.")
@click.option("--fix", "fixes", multiple=True, metavar="NAME=VALUE", help="A constant input.")
@click.option(
    "--inputs",
    type=click.Path(path_type=Path),
    help="Real inputs to prove the model on: .npy, one batch as the model reads it.",
)
@click.option("--licence", default="unknown", show_default=True, help="Of the weights.")
@click.option("--force", is_flag=True, help="Replace an existing bundle.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def adopt(
    source: str,
    out: Path,
    precision: str,
    checkpoint: Path | None,
    states: tuple[str, ...],
    fixes: tuple[str, ...],
    inputs: Path | None,
    licence: str,
    force: bool,
    as_json: bool,
) -> None:
    """Turn a recurrent model of any origin into a bundle.

    SOURCE is FILE.onnx, FILE.keras, FILE.h5, or package.module:factory, where factory() gives a
    torch module and example inputs; the working directory is importable.
    """
    from treadle.commands.verify import describe
    from treadle_export.adopting import export_foreign
    from treadle_export.bundle import refuse_taken
    from treadle_export.foreign import StatePair
    from treadle_export.sources import open_source, with_inputs

    refuse_taken(out, force=force)
    foreign = open_source(
        source,
        checkpoint=checkpoint,
        fixed=dict(_pair(text, "--fix") for text in fixes),
        states=[StatePair(*_pair(text, "--state")) for text in states],
    )
    if inputs is not None:
        foreign = with_inputs(foreign, inputs)
    report = export_foreign(
        foreign,
        {precision: out},
        licence=licence,
        force=force,
        progress=lambda stage: click.echo(f"{out.name}: {stage}", err=True),
    )[precision]
    if as_json:
        click.echo(json.dumps({"path": str(out), "precision": precision, **report.to_json()}))
    else:
        click.echo(describe(report.to_json()))


def _pair(text: str, option: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not (name and sign and value):
        raise click.UsageError(f"{option} takes NAME=VALUE, got {text!r}")
    return name, value
