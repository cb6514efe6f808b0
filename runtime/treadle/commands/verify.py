"""`treadle verify`: the parity ladder, replayed on this device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from treadle.commands.options import (
    bundle_argument,
    engine_options,
    json_option,
    print_json,
    table,
    write,
)

if TYPE_CHECKING:
    from pathlib import Path

HEADER = ("rung", "source", "steps", "max abs", "max rel", "flips", "tolerance", "passed")


@click.command()
@bundle_argument
@engine_options
@json_option
@click.pass_context
def verify(
    ctx: click.Context, bundle: Path, device: str, threads: int | None, as_json: bool
) -> None:
    """Prove on this device that BUNDLE still is the model that was trained.

    Replays the golden trace and probes whether a row feels its neighbours. Exits with 1 when a
    rung is over its tolerance.
    """
    import treadle
    from treadle import selfcheck

    with treadle.load(bundle, device=device, threads=threads) as model:
        report = selfcheck.verify(model)
    document = report.to_json()
    if as_json:
        print_json(document)
    else:
        write(describe(document) + "\n")
    if not report.passed:
        ctx.exit(1)


def describe(document: dict[str, Any]) -> str:
    """A report as an aligned table and two sentences."""
    rows = [
        [
            str(rung["name"]),
            str(rung["source"]),
            *(_figure(rung[key]) for key in ("steps", "max_abs", "max_rel", "flips", "tolerance")),
            "yes" if rung["passed"] else f"NO, from step {_figure(rung['first_step'])}",
        ]
        for rung in document["rungs"]
    ]
    invariance = document["invariance"]
    promise = "promised exact" if invariance["promised"] else "not promised"
    return (
        f"{table(HEADER, rows)}\n"
        f"largest difference to a row alone: in a batch {_figure(invariance['batch'])}, "
        f"in chunks {_figure(invariance['chunk'])} ({promise})\n"
        f"{'passed' if document['passed'] else 'FAILED'}"
    )


def _figure(value: Any) -> str:
    """A number short enough for a column; a dash where it has no meaning."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.2g}"
    if isinstance(value, dict):
        return " ".join(f"{key} {_figure(part)}" for key, part in value.items())
    return str(value)
