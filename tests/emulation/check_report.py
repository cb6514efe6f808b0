"""Read the JSON of `treadle verify` on stdin; exit 1 unless it passed and int8 kept its promise.

usage: check_report.py LABEL
"""

import json
import sys
from typing import Any

COMPARED = {"batch": "alone and in a batch", "chunk": "one step at a time and in chunks"}


def complaints(report: dict[str, Any]) -> list[str]:
    """Say what is wrong with the report, one sentence each; nothing when all is well."""
    if "error" in report:
        return [f"{report['error']['type']}: {report['error']['message']}"]
    found = [
        f"rung {rung['name']!r}: max_abs {rung['max_abs']}, tolerance {rung['tolerance']}"
        for rung in report["rungs"]
        if not rung["passed"]
    ]
    if report["invariance"]["promised"]:
        found += broken_promises(report["invariance"])
    if not report["passed"] and not found:
        found.append("the report says that verification did not pass")
    return found


def broken_promises(invariance: dict[str, Any]) -> list[str]:
    """Name each measured difference that is not exactly 0; null has no meaning for the task."""
    measured = {key: invariance[key] for key in COMPARED if invariance[key] is not None}
    if not measured:
        return ["invariance is promised, yet nothing was measured"]
    return [
        f"a row {COMPARED[key]} differs by {value}, promised is exactly 0"
        for key, value in measured.items()
        if value != 0
    ]


def main() -> int:
    """Print one line a complaint, or that the report passed, and return the exit status."""
    label = sys.argv[1]
    text = sys.stdin.read()
    try:
        found = complaints(json.loads(text))
    except ValueError:
        found = [f"verify printed no JSON document but {text[:200]!r}"]
    for sentence in found:
        print(f"FAILED {label}: {sentence}")
    if not found:
        print(f"passed {label}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
