"""How fast is one step beside other engines on the same weights, and how right is it?

usage: python -m benchmarks.peers [--engine E …] [--workload W …] [--cell C …] [--precision P …]
                                  [--threads N …] [--rounds N] [--seconds S]
                                  [--resume] [--make] [--quick] [--output FILE]

The first run installs the engines and converts every model, which takes long (`--make` does no
more than that); both stay in build/peers. Then each case is a process of its own, and those of one
workload take turns, so that a busy moment of the machine falls on all. Rows go into
`results/peers.json` in the place of those with the same key, and tables and plot of
`benchmarks/README.md` are written from it. `--resume` leaves out workloads whose rows are all there
or known to be absent; `--quick` makes two short rounds and writes to build/peers instead.
"""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.peers.case import THREADS, Case, cases
from benchmarks.peers.engines import ENGINES, PRECISIONS
from benchmarks.peers.floor import Floor, built
from benchmarks.peers.rows import Results
from benchmarks.peers.running import Run
from benchmarks.peers.table import PAGE, write_page
from benchmarks.peers.workloads import BUILD, GATES, ROOT, WORKLOADS
from treadle.machine import conditions, this_machine

if TYPE_CHECKING:
    from collections.abc import Sequence

RESULTS = ROOT / "benchmarks/results/peers.json"
QUICK = BUILD / "quick.json"
ROUNDS, SECONDS, MOST_STEPS = 3, 0.2, 2000


def main(arguments: Sequence[str] | None = None) -> int:
    """Convert, measure, write; prints a line for every group of cases."""
    asked = parsed(arguments)
    program = built()
    if program is None:
        print("no C compiler: rows will have no floor", file=sys.stderr)
    run = Run(
        rounds=2 if asked.quick else asked.rounds,
        seconds=0.02 if asked.quick else asked.seconds,
        most=20 if asked.quick else MOST_STEPS,
        floor=None if program is None else Floor(program, 0.02 if asked.quick else 0.15),
    )
    output = asked.output or (QUICK if asked.quick else RESULTS)
    results = opened(output)
    for group in groups(asked):
        if asked.resume and results.settled(case.key for case in group):
            continue
        made = run.made(group)
        if asked.make:
            print(
                f"{group[0].key[0]} {group[0].cell}: {len(made)} of {len(group)} are made",
                flush=True,
            )
            continue
        rows = run.rows(made)
        results.add(rows, run.absent)
        results.rates = run.floor.known if run.floor else {}
        results.date, results.rounds = datetime.now(UTC).date().isoformat(), run.rounds
        results.write(output)
        workload, cell, _, threads, _ = group[0].key
        wrong = [row.engine for row in rows if row.wrong]
        print(f"{workload} {cell}, {threads} threads: {len(rows)} of {len(group)} rows", flush=True)
        if wrong:
            print(f"  wrong: {', '.join(wrong)}", flush=True)
    if output == RESULTS and not asked.make:
        write_page(results, PAGE)
    for absence in run.absent:
        print(f"absent: {' '.join(absence.key)}: {absence.reason}", file=sys.stderr)
    return 0


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line; an engine is named by its family or as its rows name it."""
    families = sorted({engine.family for engine in ENGINES.values()})
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--engine", action="append", choices=[*families, *ENGINES])
    parser.add_argument("--workload", action="append", choices=WORKLOADS)
    parser.add_argument("--cell", action="append", choices=GATES)
    parser.add_argument("--precision", action="append", choices=PRECISIONS)
    parser.add_argument("--threads", action="append", type=int)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of one round of a case")
    parser.add_argument("--resume", action="store_true", help="leave out what has all its rows")
    parser.add_argument("--make", action="store_true", help="install and convert, measure nothing")
    parser.add_argument("--quick", action="store_true", help="a trial: two short rounds")
    parser.add_argument("--output", type=Path)
    return parser.parse_args(arguments)


def groups(asked: argparse.Namespace) -> list[list[Case]]:
    """The asked cases, those together that take turns."""
    names = asked.engine or [*ENGINES]
    engines = [one for one in ENGINES.values() if {one.name, one.family} & {*names}]
    workloads = [WORKLOADS[name] for name in asked.workload or WORKLOADS]
    found = cases(
        *(engines, workloads, asked.precision or PRECISIONS, asked.threads or THREADS),
        asked.cell or GATES,
    )
    return [[*group] for _, group in groupby(found, lambda case: (case.folder, case.threads))]


def opened(path: Path) -> Results:
    """The results so far, if they are of this machine and its engine; else none."""
    machine = this_machine().to_json() | {"flags": list(conditions().flags)}
    if path.exists():
        before = Results.read(path)
        if before.machine == machine:
            return before
    return Results(machine, [], [], {})


if __name__ == "__main__":
    sys.exit(main())
