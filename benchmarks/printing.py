"""What a benchmark found: for people as text, for programs as JSON."""

import argparse
import datetime
import importlib.metadata
import json
import platform
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from treadle.machine import conditions, this_machine

STDOUT = "-"
PACKAGES = ("treadle", "numpy", "onnxruntime", "torch")


def add_json(parser: argparse.ArgumentParser) -> None:
    """The option `--json [FILE]`."""
    parser.add_argument(
        "--json",
        nargs="?",
        const=STDOUT,
        metavar="FILE",
        help="JSON in place of the text, or, into FILE, beside it",
    )


def put(report: Any, lines: Iterable[str], to: str | None) -> None:
    """Prints the lines, or the report as JSON; a file holds machine, versions and date as well."""
    if to == STDOUT:
        print(json.dumps(report, indent=1))
        return
    print("\n".join(lines))
    if to is not None:
        path = Path(to)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(surroundings() | {"report": report}, indent=1) + "\n")


def surroundings() -> dict[str, Any]:
    """Where and when figures were measured, and with what."""
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": this_machine().to_json(),
        "conditions": conditions().to_json(),
        "versions": {"python": platform.python_version(), **versions},
    }
