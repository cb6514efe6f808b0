"""Write the results of the last `make demo` into the README, between its two markers.

usage: readme_table.py [--report build/demo/report.json] [--readme README.md] [--print]

Every figure comes from the report; nothing is rounded further than a reader can use.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

BEGIN = "<!-- results: written by benchmarks/readme_table.py -->"
END = "<!-- end of results -->"
HEADER = (
    "| bundle | precision | size | quality | one step, median | one step, p99 "
    "| PyTorch, median | times faster |\n"
    "|---|---|---|---|---|---|---|---|\n"
)


def row(bundle: dict[str, Any]) -> str:
    """One bundle of the report as a line of the table."""
    name = Path(bundle["path"]).stem
    share = bundle["unit"] == "%"  # of what, the metric says; other units say it themselves
    unit = f"% {bundle['metric'].replace('_', ' ')}" if share else bundle["unit"]
    quality = f"{bundle['value']:.2f} {unit}, {bundle['examples']:,} examples"
    torch_us = bundle["torch_step_p50_us"]
    cells = [
        f"`{name}`",
        bundle["precision"],
        f"{bundle['bytes'] / 1e6:.2f} MB",
        quality,
        f"{bundle['step_p50_us']:.1f} µs",
        f"{bundle['step_p99_us']:.1f} µs",
        f"{torch_us:.1f} µs" if torch_us is not None else "not timed",
        f"{torch_us / bundle['step_p50_us']:.1f}" if torch_us is not None else "not timed",
    ]
    return f"| {' | '.join(cells)} |\n"


def table(report: dict[str, Any]) -> str:
    """The bundles of a demo report as a Markdown table; raises KeyError for a missing figure."""
    return HEADER + "".join(row(bundle) for bundle in report["bundles"])


def replaced(readme: str, results: str) -> str:
    """`readme` with `results` between its markers; raises ValueError when one is missing."""
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the README should have the markers {BEGIN!r} and {END!r}, in this order")
    return f"{before}{BEGIN}\n{results}{END}{after}"


def main() -> int:
    """Read the report, write or print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--report", type=Path, default=Path("build/demo/report.json"))
    parser.add_argument("--readme", type=Path, default=Path("README.md"))
    parser.add_argument("--print", action="store_true", help="to stdout, leaving the README alone")
    arguments = parser.parse_args()
    if not arguments.report.is_file():
        print(f"{arguments.report} is missing: run `make demo` first", file=sys.stderr)
        return 1
    results = table(json.loads(arguments.report.read_text(encoding="utf-8")))
    if arguments.print:
        print(results, end="")
    else:
        readme = arguments.readme.read_text(encoding="utf-8")
        arguments.readme.write_text(replaced(readme, results), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
