"""results.json as a page to read: README.md beside it, which is never typed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.quality.rows import Row
from treadle.metrics import METRICS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from benchmarks.quality.results import Result

HEAD = """\
# Quality

What the recipes reach on the test split of their data, beside published figures and what counting
or repeating reaches. Written by `python -m benchmarks.quality` (`make quality`) from `results.json`
and `targets.toml`; each figure is that of a bundle through the runtime, PyTorch's that of the run.
An `int8` figure that reaches the target is **bold**. ↑: more is better; ↓: less is better. Training
is in seconds of wall time, on a machine that had other work.

"""
PRECISIONS = ("float32", "int8", "int4")


def page(rows: Mapping[str, Row], results: Mapping[str, Result]) -> str:
    """All of README.md, `rows` being those of targets.toml."""
    both = [(rows.get(name) or Row.of(name, {}), result) for name, result in results.items()]
    parts = [
        _figures(result for _, result in both),
        _section("Targets and baselines", [_held_against(*one) for one in both]),
        _section("Missed", [_missed(*one) for one in both if one[1].reached is False]),
        _section("Notes", [line for _, result in both for line in _notes(result)]),
        _section("What is not measured yet", [f"`{name}`" for name in rows if name not in results]),
        _made(result for _, result in both),
    ]
    return HEAD + "\n".join(part for part in parts if part)


def _figures(results: Iterable[Result]) -> str:
    columns = ("recipe", "metric", "target", "baseline", "PyTorch", *PRECISIONS)
    lines = [_line([*columns, "examples", "`int8`", "training"]), _line(["---"] * 11)]
    for one in results:
        arrow = "↑" if one.higher_is_better else "↓"
        unit = METRICS[one.metric].unit
        metric = one.metric.replace("_", " ") + (" in %" if unit == "%" else "")
        int8 = _number(one.int8)
        figures = [one.target, one.baseline, one.torch, one.float32]
        cells = [
            f"`{one.recipe}`",
            f"{metric} {arrow}",
            *map(_number, figures),
            f"**{int8}**" if one.reached else int8,
            _number(one.int4),
            f"{one.examples:,}",
            "–" if one.bytes_int8 is None else f"{one.bytes_int8 / 1000:,.0f} kB",
            f"{one.seconds:,.0f} s",
        ]
        lines.append(_line(cells))
    return "\n".join(lines) + "\n"


def _made(results: Iterable[Result]) -> str:
    """How each row was made, and what another run of it can be compared by."""
    names = ("recipe", "command", "seed", "commit", "digest of `int8`", "its predictions")
    lines = ["## How they were made", "", _line(names), _line(["---"] * 6)]
    for one in results:
        digests = [(one.digest or "–").removeprefix("sha256:"), one.predictions_sha256 or "–"]
        cells = [one.recipe, one.command, str(one.seed), one.commit, *(d[:12] for d in digests)]
        lines.append(_line([f"`{cell}`" for cell in cells]))
    return "\n".join(lines) + "\n"


def _section(title: str, entries: Iterable[str]) -> str:
    lines = [f"- {entry}" for entry in entries if entry]
    return "\n".join([f"## {title}", "", *lines]) + "\n" if lines else ""


def _held_against(row: Row, result: Result) -> str:
    told = []
    for kind, value, source in (
        ("target", row.target, row.target_source),
        ("baseline", row.baseline, row.baseline_source),
    ):
        if value is not None:
            told.append(f"{kind}: {value if isinstance(value, str) else source}")
    return f"`{result.recipe}`: {'. '.join(told)}." if told else f"`{result.recipe}`: none."


def _missed(row: Row, result: Result) -> str:
    figures = f"{_number(result.int8)} against {_number(result.target)}"
    return f"`{result.recipe}`: {figures}. {row.tried or 'Nothing else was tried.'}"


def _notes(result: Result) -> list[str]:
    return [f"`{result.recipe}`, {name}: {note}" for name, note in result.notes.items()]


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _number(value: float | None) -> str:
    """With as many places as tell: four figures."""
    if value is None:
        return "–"
    return f"{value:.4f}" if value < 1 else f"{value:.3f}" if value < 10 else f"{value:.2f}"
