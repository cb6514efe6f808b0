"""The parity ladder on a terminal, for every command that climbs it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from treadle.commands.options import table, write

if TYPE_CHECKING:
    from treadle.selfcheck import Report

HEADER = ("rung", "source", "steps", "max abs", "max rel", "flips", "tolerance", "passed")


def print_report(report: Report) -> None:
    """Print a report as an aligned table, what rows and chunks feel, and the outcome."""
    write(describe(report.to_json()) + "\n")


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
