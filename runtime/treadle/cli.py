"""The command line `treadle`: a group that loads a command only when it is called."""

from __future__ import annotations

import difflib
import importlib
import json
import sys
from contextlib import contextmanager
from importlib import metadata
from typing import IO, TYPE_CHECKING, NoReturn, cast

import click

from treadle import __version__
from treadle.errors import TreadleError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

ENTRY_POINTS = "treadle.commands"
DONE, FAILED, INTERRUPTED = 0, 1, 130

# Name -> summary. Static, so that --help imports nothing that a command needs.
SUMMARIES = {
    "recipes": "List the training recipes.",
    "train": "Train a recipe; writes a run directory.",
    "gradients": "Say how far back in time a run's loss reaches.",
    "export": "Export a run to a bundle.",
    "adopt": "Turn a model of any origin into a bundle: PyTorch, ONNX, Keras.",
    "requantize": "Write a float32 bundle in another precision.",
    "sensitivity": "Say which weights hurt most when they are quantized.",
    "lint": "Say what is wrong with an ONNX export of a recurrent model.",
    "inspect": "Say what a bundle is: its manifest.",
    "pack": "Write a bundle as one file.",
    "runtime": "Write the runtime as one small file, for a device.",
    "verify": "Prove on this device that a bundle still is the model that was trained.",
    "sign": "Say who a bundle is from.",
    "evaluate": "Measure a bundle or a run on its data.",
    "run": "Answer text, as arguments or line by line from stdin.",
    "score": "Answer every row of files, here or on a cluster.",
    "bench": "Measure how long a bundle takes on this machine.",
    "web": "Serve a page that runs a bundle in the browser.",
    "data": "List the published data sets, or fetch one.",
    "demo": "Train, export, verify and time a model in a few minutes.",
}
# Commands of the runtime itself; the others come from the entry points.
OWN = {
    "inspect": "treadle.commands.inspect:inspect",
    "pack": "treadle.commands.pack:pack",
    "runtime": "treadle.commands.runtime:runtime",
    "verify": "treadle.commands.verify:verify",
    "sign": "treadle.commands.sign:sign",
    "evaluate": "treadle.commands.evaluate:evaluate",
    "run": "treadle.commands.run:run",
    "score": "treadle.commands.score:score",
    "bench": "treadle.commands.bench:bench",
    "web": "treadle.commands.web:web",
    "data": "treadle.commands.data:data",
}
EXTRAS = {
    "recipes": "train",
    "train": "train",
    "gradients": "train",
    "export": "export",
    "adopt": "export",
    "requantize": "export",
    "sensitivity": "export",
    "lint": "export",
    "demo": "export",
}


class LazyGroup(click.Group):
    """A click group whose commands are imported when they are called, not when they are listed."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Names of all commands: those of the table, then other packages' entry points."""
        names = [name for name in SUMMARIES if name in OWN or name in _entry_points()]
        return names + sorted(set(_entry_points()) - set(names))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command; None when there is none of that name."""
        if cmd_name not in self.list_commands(ctx):
            return None
        return _load(cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, with the nearest name for one that is misspelt."""
        known = self.list_commands(ctx)
        if args and not args[0].startswith("-") and args[0] not in known:
            near = difflib.get_close_matches(args[0], known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there is {', '.join(known)}."
            ctx.fail(f"no command is called {args[0]!r}; {hint}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> object:
        """Run the command; when a package that it imports late is missing, say how to get it."""
        with _naming_the_extra(lambda: ctx.invoked_subcommand or ""):
            return super().invoke(ctx)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands by their static summaries."""
        rows = [(name, SUMMARIES.get(name, "")) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="treadle")
def cli() -> None:
    """Turn recurrent networks into on-device streams.

    Each command takes --json, which prints one JSON document to stdout; messages go to stderr.
    """


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit.

    0: done. 1: a check failed or a TreadleError. 2: wrong usage. 130: interrupted.
    """
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: Sequence[str]) -> int:
    """Run the command line; the exit code. With --json a TreadleError is a JSON document."""
    _speak_utf8()
    try:
        code = cli.main(list(arguments), prog_name="treadle", standalone_mode=False)
    except TreadleError as error:
        report_error(error, as_json=_asks_for_json(arguments))
        return FAILED
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return INTERRUPTED
    except click.ClickException as error:
        error.show()
        return error.exit_code
    return code if isinstance(code, int) else DONE


def report_error(error: TreadleError, *, as_json: bool) -> None:
    """Print an error: a JSON document to stdout, or a line to stderr."""
    if as_json:
        document = {"error": {"type": type(error).__name__, "message": str(error)}}
        click.echo(json.dumps(document))
    else:
        click.echo(f"error: {error}", err=True)


def _load(name: str) -> click.Command:
    with _naming_the_extra(lambda: name):
        if name in OWN:
            module, _, attribute = OWN[name].partition(":")
            return cast("click.Command", getattr(importlib.import_module(module), attribute))
        return cast("click.Command", _entry_points()[name].load())


@contextmanager
def _naming_the_extra(command: Callable[[], str]) -> Iterator[None]:
    """Turn a missing package inside into an error that names the pip command."""
    try:
        yield
    except ModuleNotFoundError as error:
        package, name = (error.name or "").partition(".")[0], command()
        if not package or package.startswith("treadle"):
            raise  # a fault of this installation, not a missing extra
        extra = EXTRAS.get(name)
        way = f"pip install 'treadle[{extra}]'" if extra else f"pip install {package}"
        raise TreadleError(
            f"the command {name} needs the package {package}, which is not installed: {way}"
        ) from error


def _entry_points() -> dict[str, metadata.EntryPoint]:
    return {point.name: point for point in metadata.entry_points(group=ENTRY_POINTS)}


def _asks_for_json(arguments: Sequence[str]) -> bool:
    options = list(arguments)
    return "--json" in (options[: options.index("--")] if "--" in options else options)


def _speak_utf8() -> None:
    """Read and write UTF-8 in a pipe on every system; odd bytes become an unknown symbol."""
    for stream, errors in ((sys.stdin, "surrogateescape"), (sys.stdout, "backslashreplace")):
        reconfigure = getattr(cast("IO[str] | None", stream), "reconfigure", None)
        if reconfigure is not None:
            reconfigure(encoding="utf-8", errors=errors)
