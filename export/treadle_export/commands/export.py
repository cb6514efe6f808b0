"""The command `export`; torch and onnx are imported when it runs."""

from functools import partial
from pathlib import Path
from typing import Any

import click

from treadle.errors import InputError
from treadle_export.commands.made_bundle import bundle_of, make_bundle
from treadle_export.commands.one_call_options import (
    DECODING,
    check_unasked,
    one_call_options,
    searching_of,
    write_generate,
)
from treadle_export.commands.quantize_options import quantization_options
from treadle_export.commands.target_options import target_options
from treadle_export.commands.triton_target import TRITON, write_triton
from treadle_export.commands.tune_options import tuning_options
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
    target: str,
    force: bool,
    as_json: bool,
    graph: str,
    search: str | None,
    text: bool,
    **making: Any,
) -> None:
    """Export a trained RUN as a bundle, its parity proven on the way."""
    decoding = {name: making.pop(name) for name in DECODING}
    if graph == "bundle":
        check_unasked({"search": search, "text": text, **decoding})
        if target != TRITON:
            made = make_bundle(run, out, target=target, force=force, as_json=as_json, **making)
            show_written(out, *made, as_json=as_json)
            return
    elif target == TRITON:
        raise InputError("expected --graph generate or --target triton, got both; leave one out")
    built_for = "cpu" if target == TRITON else target
    make = partial(make_bundle, run, target=built_for, force=False, as_json=as_json, **making)
    searching = searching_of(search, decoding)
    asked = {**making, "target": None if built_for == "cpu" else built_for}
    with bundle_of(run, make, asked) as bundle:
        if target == TRITON:
            write_triton(bundle, out, force=force, as_json=as_json)
        else:
            write_generate(bundle, out, searching, text=text, force=force, as_json=as_json)
