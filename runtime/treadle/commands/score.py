"""`treadle score`: a bundle over files of rows, here or on a Ray cluster."""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

import click

from treadle.commands.answering import chosen_options
from treadle.commands.options import (
    bundle_argument,
    engine_options,
    json_option,
    print_json,
    write,
)
from treadle.commands.search_options import sampling_options, search_options, unknown_option


@click.command()
@bundle_argument
@click.argument("inputs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), help="Directory of the answers."
)
@click.option("--column", default="text", show_default=True, help="What is answered of a row.")
@click.option(
    "--engine",
    type=click.Choice(["local", "ray"]),
    default="local",
    show_default=True,
    help="Who answers: this process, or actors of Ray.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Actors of Ray.",
)
@click.option(
    "--rows",
    type=click.IntRange(min=1),
    default=1000,
    show_default=True,
    help="Most rows of a part.",
)
@search_options
@sampling_options(temperature=0.0)
@unknown_option
@engine_options
@json_option
@click.pass_context
def score(
    ctx: click.Context,
    /,
    bundle: Path,
    inputs: tuple[Path, ...],
    out: Path,
    column: str,
    engine: Literal["local", "ray"],
    workers: int,
    rows: int,
    unknown: Literal["error", "symbol"],
    device: str,
    threads: int | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Answer every row of files: JSON lines, CSV, TSV or Parquet.

    For each row of INPUTS there is one line of JSON, in the same order, in OUT/part-00000.jsonl and
    so on: its answer, or an error, and the row itself. Transducers and generators make hypotheses,
    classifiers, taggers and forecasters say what they see, and a language model says how likely a
    text is. Asked again after an interruption, the command goes on with the parts that are missing;
    all parts are the same whichever engine made them. The exit code is 1 where rows could not be
    answered.
    """
    from treadle.bundle import open_bundle
    from treadle.scoring import score_files
    from treadle.scoring.answers import TAKEN

    with closing(open_bundle(bundle)) as opened:
        task = opened.manifest.task
    chosen = chosen_options(ctx, task, TAKEN.get(task, ()), options)
    scored = score_files(
        bundle,
        inputs,
        out,
        column=column,
        options=chosen,
        unknown=unknown,
        rows=rows,
        engine=engine,
        workers=workers,
        device=device,
        threads=threads,
        progress=_show,
    )
    if as_json:
        print_json(scored.to_json())
    else:
        write(
            f"{scored.rows:,} rows in {scored.parts:,} parts, {scored.errors:,} without an answer; "
            f"{scored.parts - scored.found:,} parts answered now, in {scored.seconds:.1f} s\n"
        )
    if scored.errors:
        ctx.exit(1)


def _show(done: int, of: int) -> None:
    if sys.stderr.isatty():
        click.echo(f"\r{done:,} of {of:,} parts", nl=done == of, err=True)
