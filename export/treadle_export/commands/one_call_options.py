"""`treadle export --graph generate`: its options, and the one file that they ask for."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from treadle.commands.options import together

if TYPE_CHECKING:
    from treadle_export.one_call.assembling import Searching

_BEAM, _SAMPLE = ("beam", "n_best"), ("top_k", "top_p", "min_p")
DECODING = _BEAM + _SAMPLE
"""Parameters of the searches."""

one_call_options = together(
    click.option(
        "--graph",
        type=click.Choice(["bundle", "generate"]),
        default="bundle",
        show_default=True,
        help="A bundle, or the whole decode as one ONNX file; RUN may be a bundle then.",
    ),
    click.option(
        "--search",
        type=click.Choice(["greedy", "sample", "beam"]),
        default=None,
        show_default="greedy",
        help="How --graph generate chooses symbols.",
    ),
    click.option("--beam", type=int, default=None, show_default="4", help="Of --search beam."),
    click.option(
        "--n-best", type=int, default=None, show_default="1", help="Answers of --search beam."
    ),
    click.option("--top-k", type=int, default=None, help="Of --search sample."),
    click.option("--top-p", type=float, default=None, help="Of --search sample."),
    click.option("--min-p", type=float, default=None, help="Of --search sample."),
    click.option("--text", is_flag=True, help="Of --graph generate: text in and text out."),
)


def check_unasked(given: dict[str, Any]) -> None:
    """Raises InputError for an option of a decode where a bundle is asked for."""
    from treadle.errors import InputError

    for name, value in given.items():
        if value not in (None, False):
            option = name.replace("_", "-")
            raise InputError(f"expected --{option} with --graph generate, got it alone; add that")


def searching_of(search: str | None, given: dict[str, Any]) -> "Searching":
    """The search that was asked for, from its options; None stands for what was not given.

    Raises:
        InputError: an option belongs to another search.
        ExportError: a value makes no sense.
    """
    from treadle.errors import InputError
    from treadle_export.one_call.beam_search import BeamSearch
    from treadle_export.one_call.drawing import Drawing
    from treadle_export.one_call.row_search import RowSearch

    search = search or "greedy"
    allowed = {"beam": _BEAM, "sample": _SAMPLE}.get(search, ())
    asked = {name: value for name, value in given.items() if value is not None}
    for name in asked:
        if name not in allowed:
            option = name.replace("_", "-")
            raise InputError(
                f"expected --{option} with --search {'beam' if name in _BEAM else 'sample'}, got "
                f"it with {search}; leave it out"
            )
    if search == "beam":
        return BeamSearch(**{"beam": 4, **asked})
    return RowSearch(Drawing(**asked) if search == "sample" else None)


def write_generate(
    bundle: Path, out: Path, searching: "Searching", *, text: bool, force: bool, as_json: bool
) -> None:
    """Writes the decode of a bundle, and says what was written."""
    from treadle_export.one_call.writing import write_one_call

    made = write_one_call(bundle, out, searching, text=text, force=force)
    if as_json:
        document = {"path": str(made.path), "bytes": made.bytes, "symbols_checked": made.checked}
        click.echo(json.dumps(document))
    else:
        click.echo(
            f"{made.path}: {made.bytes:,} bytes; {made.checked} symbols as the search in Python"
        )
