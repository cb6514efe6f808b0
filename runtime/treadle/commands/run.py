"""`treadle run`: text in, answers out, one line for one line, so that it can sit in a pipe."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Literal

import click

from treadle.cli import report_error
from treadle.commands.answering import answerer_of
from treadle.commands.options import (
    bundle_argument,
    engine_options,
    json_option,
    print_json,
    write,
)
from treadle.commands.search_options import sampling_options, search_options, unknown_option
from treadle.errors import TreadleError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from treadle.commands.answering import Answerer


@click.command()
@bundle_argument
@click.argument("text", nargs=-1)
@search_options
@sampling_options(temperature=1.0)
@unknown_option
@engine_options
@json_option
@click.pass_context
def run(
    ctx: click.Context,
    /,
    bundle: Path,
    text: tuple[str, ...],
    unknown: Literal["error", "symbol"],
    device: str,
    threads: int | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Answer each TEXT, or each line of stdin, with one line.

    A transducer's answer is its output, a classifier's the label and its probability, a tagger's
    every token of the line as token/tag; a forecaster reads numbers (channels with commas, frames
    with spaces between) and says those that follow; for a transducer of speech a TEXT is the path
    of an .npy file of frames, and the answer what was said; a generator reads a label, or the
    numbers of a vector, and writes a sequence, another one if the line is repeated; a language
    model continues the text and shows each symbol as it is made. A line of stdin that cannot be
    answered gives an empty line and a message on stderr, the others go on, and the exit code is 1.
    With --json the answers are one document.
    """
    import treadle

    with treadle.load(bundle, device=device, threads=threads, unknown=unknown) as model:
        answers = answerer_of(ctx, model, options)
        if as_json:
            print_json({"answers": [answers.document(line) for line in text or _lines()]})
        elif text:
            for line in text:
                answers.write(line)
        elif not _answer_stdin(answers):
            ctx.exit(1)


def _lines() -> Iterator[str]:
    for line in sys.stdin:
        yield line.removesuffix("\n").removesuffix("\r")


def _answer_stdin(answers: Answerer) -> bool:
    """Answer line by line; a blank line gets a blank line. Whether every line had an answer."""
    good = True
    for line in _lines():
        try:
            if line:
                answers.write(line)
            else:
                write("\n")
        except TreadleError as error:
            good = False
            report_error(error, as_json=False)
            write("\n")
    return good
