"""The command `demo`; torch and onnx are imported when it runs."""

import json
from pathlib import Path

import click


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
    from treadle_export.demo.road import run_demo

    report = run_demo(out, quiet=as_json)
    if as_json:
        click.echo(json.dumps(report))
