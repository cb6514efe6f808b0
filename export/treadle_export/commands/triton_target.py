"""`treadle export --target triton`: a model in a repository of NVIDIA Triton."""

import json
from pathlib import Path

import click

TRITON = "triton"


def write_triton(bundle: Path, out: Path, *, force: bool, as_json: bool) -> None:
    """Writes the step of a bundle into the repository `out`, and says where."""
    from treadle_export.serving.repository import write_repository

    place = write_repository(bundle, out, force=force)
    if as_json:
        click.echo(json.dumps({"path": str(place)}))
    else:
        click.echo(f"{place}: tritonserver --model-repository {out}")
