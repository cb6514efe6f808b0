"""The command `treadle gradients`. torch is imported when it starts."""

import json
from pathlib import Path

import click

from treadle.errors import TreadleError


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Directory for JSON and a picture.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def gradients(run: Path, out: Path | None, as_json: bool) -> None:
    """Say how far back in time the loss of RUN reaches, layer by layer."""
    from treadle_train.gradient_flow.of_run import flow_of_run
    from treadle_train.gradient_flow.report import to_document, write_report
    from treadle_train.run import load_run

    loaded = load_run(run)
    flows, rows = flow_of_run(loaded)
    document = {"run": str(run), "recipe": loaded.name, "rows": rows, "layers": to_document(flows)}
    if out is not None:
        try:
            write_report(out, document, flows)
        except OSError as error:
            raise TreadleError(
                f"Cannot write into {out}: {error}. Make room, or choose another directory."
            ) from error
    if as_json:
        click.echo(json.dumps(document))
        return
    width = max(len(flow.layer) for flow in flows)
    for flow in flows:
        click.echo(f"{flow.layer:<{width}}  {flow.verdict}")
