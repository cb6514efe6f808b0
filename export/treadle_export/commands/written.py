"""What a command says of the bundle that it wrote."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from treadle.selfcheck import Report


def show_written(out: Path, report: "Report", document: dict[str, Any], *, as_json: bool) -> None:
    """What a command says of the bundle that it wrote; `document` is said beside it in JSON."""
    from treadle.commands.verify import describe

    if as_json:
        click.echo(json.dumps({"path": str(out), **document, **report.to_json()}))
    else:
        click.echo(describe(report.to_json()))
