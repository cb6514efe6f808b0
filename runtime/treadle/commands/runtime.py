"""`treadle runtime`: the runtime as one small file. Needs no engine."""

from __future__ import annotations

from pathlib import Path

import click

from treadle.commands.options import json_option, print_json, write


@click.command()
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("treadle-runtime.zip"),
    show_default=True,
    help="The zip to write.",
)
@click.option("--force", is_flag=True, help="Replace what is at --out.")
@json_option
def runtime(out: Path, force: bool, as_json: bool) -> None:
    """Write what an application on a device needs of treadle as one zip on PYTHONPATH.

    numpy and onnxruntime are needed beside it. It has no commands.
    """
    from treadle import slim

    written = slim.write_runtime(out, force=force)
    size = written.stat().st_size
    if as_json:
        print_json({"path": str(written), "bytes": size})
    else:
        write(f"{written}, {size:,} bytes\n")
