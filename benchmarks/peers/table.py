"""Write the tables and the plot of benchmarks/README.md from the rows, between its two markers.

usage: python -m benchmarks.peers.table
"""

from __future__ import annotations

import ast
import sys
from itertools import groupby
from typing import TYPE_CHECKING

from benchmarks.peers.engines import ENGINES, PRECISIONS
from benchmarks.peers.plot import picture
from benchmarks.peers.rows import Results, Row
from benchmarks.peers.workloads import ROOT, WORKLOADS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

PAGE = ROOT / "benchmarks/README.md"
PLOT = "results/peers.svg"
BEGIN = "<!-- peers: written by benchmarks/peers/table.py -->"
END = "<!-- end of peers -->"
WRONG = "✗"


def write_page(results: Results, page: Path) -> None:
    """Replace what stands between the markers, and the plot beside."""
    text = page.read_text(encoding="utf-8")
    page.write_text(replaced(text, written(results)), encoding="utf-8")
    plot = page.parent / PLOT
    plot.parent.mkdir(parents=True, exist_ok=True)
    plot.write_text(picture(results.rows), encoding="utf-8")


def replaced(page: str, tables: str) -> str:
    """`page` with `tables` between its markers; raises ValueError when one is missing."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page should have the markers {BEGIN!r} and {END!r}, in this order")
    return f"{before}{BEGIN}\n{tables}{END}{after}"


def written(results: Results) -> str:
    """All that stands between the markers."""
    machine, flags = results.machine, ", ".join(results.machine.get("flags", []))
    processor = f"{machine['processor']}, {machine['cores']} cores"
    parts = [
        f"Measured on {results.date} in {results.rounds} rounds of turns: {processor}, {flags}.\n",
        f"![Times of a step in int8 over the floor, one thread]({PLOT})\n",
        overview(results.rows),
        *(details(rows) for rows in _by_workload(results.rows)),
        _absent(results),
        questions(ROOT / "benchmarks"),
    ]
    return "\n".join(part for part in parts if part)


def _by_workload(rows: Iterable[Row]) -> list[list[Row]]:
    order = [*WORKLOADS]
    known = sorted(rows, key=lambda row: (order.index(row.workload), row.cell))
    groups = groupby(known, lambda row: (row.workload, row.cell))
    # The cells of a workload in its own order: LSTM before GRU.
    return sorted(
        ([*group] for _, group in groups),
        key=lambda group: (
            order.index(group[0].workload),
            WORKLOADS[group[0].workload].cells.index(group[0].cell),
        ),
    )


def overview(rows: Sequence[Row]) -> str:
    """Medians with one thread, a line an engine and precision, a column a workload."""
    alone = [row for row in rows if row.threads == 1]
    groups = _by_workload(alone)
    names = [f"{group[0].workload} {group[0].cell.upper()}" for group in groups]
    lines = ["### Median of a step in µs, one thread\n", _line(["engine", "precision", *names])]
    lines.append(_line(["---", "---", *["---:"] * len(names)]))
    for precision in PRECISIONS:
        cells = [_floor_of(row for row in group if row.precision == precision) for group in groups]
        if any(cells):
            lines.append(_line(["*floor*", precision, *cells]))
        for engine in ENGINES:
            found = [
                [row for row in group if (row.engine, row.precision) == (engine, precision)]
                for group in groups
            ]
            if any(found):
                best = [_best(group, precision) for group in groups]
                cells = [
                    _time(some[0], bold=some[0].key == least) if some else ""
                    for some, least in zip(found, best, strict=True)
                ]
                lines.append(_line([engine, precision, *cells]))
    return "\n".join(lines) + "\n"


def _best(rows: Iterable[Row], precision: str) -> object:
    right = [row for row in rows if row.precision == precision and not row.wrong]
    return min(right, key=lambda row: row.p50_us).key if right else None


def _floor_of(rows: Iterable[Row]) -> str:
    floors = [row.floor_us for row in rows if row.floor_us is not None]
    return f"*{number(min(floors))}*" if floors else ""


def details(rows: Sequence[Row]) -> str:
    """Everything about one workload and cell, the fastest right answer first."""
    first = rows[0]
    about = WORKLOADS[first.workload].about
    columns = ["engine", "precision", "threads", "median µs", "p99 µs", "× floor"]
    columns += ["largest error", "same arg-max", "MB"]
    lines = [f"### {first.workload} {first.cell.upper()}: {about}\n", _line(columns)]
    lines.append(_line(["---", "---", *["---:"] * (len(columns) - 2)]))
    for row in sorted(rows, key=lambda row: (row.threads, row.wrong, row.p50_us)):
        over = "" if row.times_floor is None else f"{row.times_floor:.1f}"
        cells = [row.engine, row.precision, str(row.threads), _time(row), number(row.p99_us), over]
        cells += [
            f"{row.error:.2g}",
            f"{100 * row.argmax_agreement:.0f} %",
            f"{row.resident_mb:.0f}",
        ]
        lines.append(_line(cells))
    return "\n".join(lines) + "\n"


def _time(row: Row, *, bold: bool = False) -> str:
    shown = f"**{number(row.p50_us)}**" if bold else number(row.p50_us)
    return f"{shown} {WRONG}" if row.wrong else shown


def number(value: float) -> str:
    """With as many digits as two runs share."""
    return f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def _absent(results: Results) -> str:
    if not results.absent:
        return ""
    lines = ["### What could not be had\n"]
    reasons: dict[tuple[str, str], list[str]] = {}
    for one in results.absent:
        told = f"{one.workload} {one.cell.upper()} {one.precision}"
        reasons.setdefault((one.engine, one.reason), []).append(told)
    for (engine, reason), every in reasons.items():
        lines.append(f"- {engine}, {', '.join(every)}: `{reason}`")
    return "\n".join(lines) + "\n"


def questions(folder: Path) -> str:
    """What each file of the folder answers, as its first line says."""
    lines = ["### What each file answers\n", _line(["file", "question"]), _line(["---", "---"])]
    for path in sorted([*folder.glob("*.py"), *folder.glob("*/__init__.py")]):
        about = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        name = path.name if path.parent == folder else f"{path.parent.name}/"
        lines.append(_line([f"[{name}]({name})", about.partition("\n")[0]]))
    return "\n".join(lines) + "\n"


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def main() -> int:
    """Read the results, write the page."""
    path = PAGE.parent / "results/peers.json"
    if not path.is_file():
        print(f"{path} is missing: run `python -m benchmarks.peers` first", file=sys.stderr)
        return 1
    write_page(Results.read(path), PAGE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
