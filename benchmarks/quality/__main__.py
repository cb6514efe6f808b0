"""The table of quality: train, export and evaluate recipes, and write down what they reach.

usage: python -m benchmarks.quality [RECIPE …] [--runs DIR] [--requantize | --table]

Each RECIPE is a row of targets.toml or a recipe, by default all. A run in DIR that has finished is
taken, another one trained or resumed there. Rows that are not measured stay as they are, and each
that is is written at once: an interruption loses nothing that is finished.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.quality.results import RESULTS, read_results, write_results
from benchmarks.quality.rows import TARGETS, chosen, read_rows, told_rows
from benchmarks.quality.table import page
from treadle.errors import TreadleError
from treadle.files import write_atomically

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmarks.quality.results import Result
    from benchmarks.quality.rows import Row

FOLDER = Path("build/quality")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what is asked; exit status 1 where a row failed, 130 where it was interrupted."""
    about = (__doc__ or "").partition("\n")[0]
    parser = argparse.ArgumentParser("python -m benchmarks.quality", description=about)
    parser.add_argument("recipes", nargs="*", metavar="RECIPE")
    parser.add_argument("--runs", type=Path, default=FOLDER / "runs", help="where the runs are")
    parser.add_argument("--bundles", type=Path, default=FOLDER / "bundles", help="and the bundles")
    parser.add_argument("--results", type=Path, default=RESULTS, help="results.json")
    parser.add_argument("--targets", type=Path, default=TARGETS, help="targets.toml")
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--requantize", action="store_true", help="int8 and int4 anew, no training")
    only.add_argument("--table", action="store_true", help="write README.md, measure nothing")
    asked = parser.parse_args(arguments)
    try:
        wanted = [] if asked.table else chosen(read_rows(asked.targets), asked.recipes)
        return _measured(wanted, asked)
    except TreadleError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted; the same command goes on from here.", file=sys.stderr)
        return 130


def _measured(wanted: Sequence[Row], asked: argparse.Namespace) -> int:
    """Measure the rows one after another, each written down when it is done."""
    status = 0
    for row in wanted:
        try:
            result = _result(row, asked)
        except TreadleError as error:
            print(f"{row.name}: {error}", file=sys.stderr)
            status = 1
            continue
        if result is not None:
            _write({**read_results(asked.results), row.name: result}, asked)
    _write(read_results(asked.results), asked)
    return status


def _result(row: Row, asked: argparse.Namespace) -> Result | None:
    # torch is slow to import, and a mistake in the arguments should be told before.
    from benchmarks.quality.measuring import Workshop, measure, renew

    shop = Workshop(asked.runs, asked.bundles, lambda stage: print(stage, file=sys.stderr))
    if not asked.requantize:
        return measure(row, shop)
    before = read_results(asked.results).get(row.name)
    if before is None or not shop.bundle(row, "float32").exists():
        print(f"{row.name}: not made yet, left out", file=sys.stderr)
        return None
    return renew(row, shop, before)


def _write(results: Mapping[str, Result], asked: argparse.Namespace) -> None:
    rows = told_rows(asked.targets)
    write_results(results, rows, asked.results)
    text = page(rows, read_results(asked.results))
    write_atomically(asked.results.with_name("README.md"), text.encode())


if __name__ == "__main__":
    sys.exit(main())
