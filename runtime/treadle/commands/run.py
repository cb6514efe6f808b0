"""`treadle run`: text in, answers out, one line for one line, so that it can sit in a pipe."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import click
from click.core import ParameterSource

from treadle.cli import report_error
from treadle.commands.options import (
    bundle_argument,
    engine_options,
    json_option,
    print_json,
    together,
    write,
)
from treadle.errors import TreadleError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from treadle.answers import Hypothesis
    from treadle.language_model import LanguageModel
    from treadle.model import Model
    from treadle.transducer import Transducer

TRANSDUCTION = ("beam", "n_best", "length_normalization")
GENERATION = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty", "stop", "seed")
GENERATED = 200  # symbols a prompt is continued by, unless --max-length says otherwise

search_options = together(
    click.option("--beam", default=1, show_default=True, help="Hypotheses kept; 1 is greedy."),
    click.option("--n-best", default=1, show_default=True, help="Answers a line, tab between."),
    click.option("--length-normalization", default=0.6, show_default=True, help="0: none."),
)
sampling_options = together(
    click.option("--temperature", default=1.0, show_default=True, help="0: always the likeliest."),
    click.option("--top-k", type=int, help="Draw from the K likeliest symbols."),
    click.option("--top-p", type=float, help="Draw from the likeliest that hold this share."),
    click.option("--min-p", type=float, help="Draw from those this many times the likeliest."),
    click.option("--repetition-penalty", default=1.0, show_default=True, help="1: none."),
    click.option(
        "--stop", multiple=True, metavar="TEXT", help="End before this text; may be repeated."
    ),
    click.option("--seed", default=0, show_default=True, help="Same seed, same text."),
)


@click.command()
@bundle_argument
@click.argument("text", nargs=-1)
@click.option("--max-length", type=click.IntRange(min=1), help="Most symbols of an answer.")
@search_options
@sampling_options
@click.option(
    "--unknown",
    type=click.Choice(["error", "symbol"]),
    default="error",
    show_default=True,
    help="What a symbol outside the vocabulary is.",
)
@engine_options
@json_option
@click.pass_context
def run(
    ctx: click.Context,
    /,
    bundle: Path,
    text: tuple[str, ...],
    max_length: int | None,
    unknown: Literal["error", "symbol"],
    device: str,
    threads: int | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Answer each TEXT, or each line of stdin, with one line.

    A transducer's answer is its output; a language model continues the text and shows each symbol
    as it is made. A line of stdin that cannot be answered gives an empty line and a message on
    stderr, the others go on, and the exit code is 1. With --json the answers are one document.
    """
    import treadle

    with treadle.load(bundle, device=device, threads=threads, unknown=unknown) as model:
        answers = _answerer(ctx, model, max_length, options)
        if as_json:
            print_json({"answers": [answers.document(line) for line in text or _lines()]})
        elif text:
            for line in text:
                answers.write(line)
        elif not _answer_stdin(answers):
            ctx.exit(1)


@dataclass(frozen=True)
class Transcriber:
    """Answers lines with a transducer."""

    model: Transducer
    options: dict[str, Any]

    def write(self, line: str) -> None:
        """Print the answers to one line, tab between."""
        write("\t".join(hypothesis.text for hypothesis in self._hypotheses(line)) + "\n")

    def document(self, line: str) -> dict[str, Any]:
        """The answers to one line with their scores."""
        found = [
            {"text": h.text, "symbols": list(h.symbols), "score": h.score, "finished": h.finished}
            for h in self._hypotheses(line)
        ]
        return {"input": line, "hypotheses": found}

    def _hypotheses(self, line: str) -> list[Hypothesis]:
        return self.model.transduce([line], **self.options)[0]


@dataclass(frozen=True)
class Continuer:
    """Answers lines with a language model."""

    model: LanguageModel
    options: dict[str, Any]

    def write(self, line: str) -> None:
        """Print one line and its continuation, symbol by symbol."""
        symbols = self._symbols(line)
        write(line)
        for symbol in symbols:
            write(symbol)
        write("\n")

    def document(self, line: str) -> dict[str, Any]:
        """One line and its continuation."""
        return {"input": line, "continuation": "".join(self._symbols(line))}

    def _symbols(self, line: str) -> Iterator[str]:
        space = self.model.vocabularies["symbols"].space
        return (space + symbol for symbol in self.model.generate(line, **self.options))


def _answerer(
    ctx: click.Context, model: Model, max_length: int | None, options: dict[str, Any]
) -> Transcriber | Continuer:
    from treadle.language_model import LanguageModel
    from treadle.transducer import Transducer

    if isinstance(model, Transducer):
        _refuse(ctx, GENERATION, model)
        chosen = {name: options[name] for name in TRANSDUCTION}
        return Transcriber(model, {**chosen, "max_length": max_length})
    if isinstance(model, LanguageModel):
        _refuse(ctx, TRANSDUCTION, model)
        chosen = {name: options[name] for name in GENERATION}
        return Continuer(model, {**chosen, "max_length": max_length or GENERATED})
    raise TreadleError(f"run does not know the task {model.manifest.task}")


def _refuse(ctx: click.Context, names: Iterable[str], model: Model) -> None:
    """Options of another task would be ignored without a word; say so instead."""
    for name in names:
        if ctx.get_parameter_source(name) is not ParameterSource.DEFAULT:
            option = "--" + name.replace("_", "-")
            raise click.UsageError(f"{option} has no meaning for the task {model.manifest.task}")


def _lines() -> Iterator[str]:
    for line in sys.stdin:
        yield line.removesuffix("\n").removesuffix("\r")


def _answer_stdin(answers: Transcriber | Continuer) -> bool:
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
