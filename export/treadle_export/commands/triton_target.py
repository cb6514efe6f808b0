"""`treadle export --target triton`: a model in a repository of NVIDIA Triton."""

import json
from pathlib import Path

import click


def write_triton(
    run: Path, out: Path, precision: str | None, *, force: bool, as_json: bool
) -> None:
    """Writes the step of a run, or of a bundle, into the repository `out`, and says where."""
    from treadle_export.commands.made_bundle import bundle_of
    from treadle_export.serving.repository import write_repository

    with bundle_of(run, precision) as bundle:
        place = write_repository(bundle, out, force=force)
    if as_json:
        click.echo(json.dumps({"path": str(place)}))
    else:
        click.echo(f"{place}: tritonserver --model-repository {out}")
