"""Runs the benchmarks, keeps what they found, and writes it into benchmarks/README.md.

usage: python -m benchmarks [NAME …] [--results DIR] [--readme FILE]

Each benchmark is a process of its own: nothing is measured beside what another left in memory. Its
JSON lies in `results/NAME.json` with machine, versions and date; what it printed stands in the
README under the question that its first line asks, between two markers. With names, only these
run, and the others' sections stay.
"""

import argparse
import ast
import subprocess
import sys
from pathlib import Path

NAMES = (
    *("import_time", "products", "step", "decoder", "one_call", "heads", "pool", "overhead"),
    *("tail", "denormals", "footprint", "loadgen", "training"),
)
HERE = Path(__file__).parent


def markers(name: str) -> tuple[str, str]:
    """What stands before and behind a benchmark's section."""
    return f"<!-- {name}: written by python -m benchmarks -->", f"<!-- end of {name} -->"


def question(name: str) -> str:
    """The first line of a benchmark's docstring."""
    text = (HERE / f"{name}.py").read_text(encoding="utf-8")
    return (ast.get_docstring(ast.parse(text)) or name).partition("\n")[0]


def section(name: str, printed: str) -> str:
    """What the README says of a benchmark."""
    shown = f"```text\n{printed.rstrip()}\n```\n"
    return f"## {question(name)}\n\n`python -m benchmarks.{name}`\n\n{shown}"


def replaced(readme: str, name: str, text: str) -> str:
    """`readme` with the section of a benchmark renewed, or put at its end if it has none."""
    begin, end = markers(name)
    before, found, rest = readme.partition(f"{begin}\n")
    if not found:
        return f"{readme.rstrip()}\n\n{begin}\n{text}{end}\n"
    _, closed, after = rest.partition(end)
    if not closed:
        raise ValueError(f"expected the marker {end!r} behind {begin!r}; put it back")
    return f"{before}{begin}\n{text}{end}{after}"


def main() -> int:
    """Run, keep, write; the status says whether all benchmarks ended well."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--results", type=Path, default=HERE / "results")
    parser.add_argument("--readme", type=Path, default=HERE / "README.md")
    asked = parser.parse_args()
    if unknown := set(asked.names) - set(NAMES):
        parser.error(f"there is no benchmark {sorted(unknown)[0]!r}; there are {', '.join(NAMES)}")
    failed = []
    for name in asked.names or NAMES:
        print(f"\n{question(name)}", flush=True)
        command = [sys.executable, "-m", f"benchmarks.{name}"]
        kept = ["--json", str(asked.results / f"{name}.json")]
        done = subprocess.run([*command, *kept], stdout=subprocess.PIPE, text=True, check=False)
        print(done.stdout, end="", flush=True)
        if done.returncode:
            failed.append(name)
            continue
        readme = asked.readme.read_text(encoding="utf-8") if asked.readme.exists() else ""
        asked.readme.write_text(replaced(readme, name, section(name, done.stdout)), "utf-8")
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
