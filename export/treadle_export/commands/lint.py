"""The command `lint`; onnx is imported when it runs."""

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import click

from treadle.commands.options import json_option, print_json, write

if TYPE_CHECKING:
    from treadle_export.lint import Finding, Report

_WIDTH = 100


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@json_option
@click.pass_context
def lint(ctx: click.Context, model: Path, as_json: bool) -> None:
    """Say what is wrong with MODEL, an ONNX export of a recurrent network.

    Each finding says what is wrong and where, what it costs and how to mend it. Nothing of the
    file is run. Exits with 1 when there is an error or a warning; notes do not count.
    """
    from treadle_export.lint import lint as examine

    report = examine(model)
    if as_json:
        print_json(report.to_json())
    else:
        write(describe(report) + "\n")
    if not report.passed:
        ctx.exit(1)


def describe(report: "Report") -> str:
    """A line about the file, and a block for each finding."""
    return "\n\n".join([_summary(report), *map(_block, report.findings)])


def _summary(report: "Report") -> str:
    kinds = [finding.severity for finding in report.findings]
    counted = [_counted(kinds.count(kind), kind) for kind in dict.fromkeys(kinds)]
    layers = _counted(report.recurrent_layers, "recurrent layer")
    return f"{report.file}: {layers}; {', '.join(counted) or 'nothing to mend'}"


def _block(finding: "Finding") -> str:
    parts = [
        f"{finding.severity}: {finding.message} [{finding.check}]",
        _indented("costs: ", finding.costs),
        _indented("mend:  ", finding.mend),
    ]
    return "\n".join(parts)


def _indented(title: str, sentences: str) -> str:
    return textwrap.fill(
        sentences,
        _WIDTH,
        initial_indent=f"  {title}",
        subsequent_indent=" " * (2 + len(title)),
        break_on_hyphens=False,
    )


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
