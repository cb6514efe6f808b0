"""Options by which answers are searched or drawn, for the commands that make some."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from treadle.commands.options import together

if TYPE_CHECKING:
    from collections.abc import Callable

search_options = together(
    click.option("--max-length", type=click.IntRange(min=1), help="Most symbols of an answer."),
    click.option(
        "--beam", type=int, show_default="the bundle's", help="Hypotheses kept; 1 is greedy."
    ),
    click.option("--n-best", default=1, show_default=True, help="Answers to each input."),
    click.option(
        "--length-normalization", type=float, show_default="the bundle's", help="0: none."
    ),
)


def sampling_options(temperature: float) -> Callable[[Any], Any]:
    """The options of drawing, of which only the default temperature differs."""
    return together(
        click.option(
            "--temperature", default=temperature, show_default=True, help="0: always the likeliest."
        ),
        click.option("--top-k", type=int, help="Draw from the K likeliest symbols."),
        click.option("--top-p", type=float, help="Draw from the likeliest that hold this share."),
        click.option("--min-p", type=float, help="Draw from those this many times the likeliest."),
        click.option("--repetition-penalty", default=1.0, show_default=True, help="1: none."),
        click.option(
            "--stop", multiple=True, metavar="TEXT", help="End before this text; may be repeated."
        ),
        click.option("--seed", default=0, show_default=True, help="Same seed, same text."),
    )


unknown_option = click.option(
    "--unknown",
    type=click.Choice(["error", "symbol"]),
    default="error",
    show_default=True,
    help="What a symbol outside the vocabulary is.",
)
