"""`treadle pack`: a bundle as one file. Needs no engine."""

from __future__ import annotations

from pathlib import Path

import click

from treadle.commands.options import bundle_argument, json_option, print_json, write


@click.command()
@bundle_argument
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    show_default="BUNDLE.zip",
    help="The zip to write.",
)
@click.option("--force", is_flag=True, help="Replace what is at --out.")
@json_option
def pack(bundle: Path, out: Path | None, force: bool, as_json: bool) -> None:
    """Write BUNDLE, a directory, as one zip, which every command takes in its place.

    Every file is checked against its digest on the way. The same bundle gives the same bytes.
    """
    from treadle import packing

    packed = packing.pack(bundle, out, force=force)
    size = packed.stat().st_size
    if as_json:
        print_json({"path": str(packed), "bytes": size})
    else:
        write(f"{packed}, {size:,} bytes\n")
