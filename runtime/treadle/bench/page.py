"""Reports as one page: tables and plots in a single file, which asks for nothing else."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

from treadle.bench.comparing import named
from treadle.bench.scenarios import LOADS
from treadle.bench.svg import COLOURS, Axis, Plot

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem;
  color: #1f2937; background: #fff; }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums; }
td, th { padding: .2rem .7rem; white-space: nowrap; text-align: right;
  border-bottom: 1px solid #e5e7eb; }
td:first-child, th:first-child { text-align: left; }
.wide { overflow-x: auto; }
td:has(.bar) { text-align: left; }
svg { width: 100%; font: 12px system-ui, sans-serif; fill: currentColor; }
.grid { stroke: #e5e7eb; }
.bar { display: inline-block; height: .8rem; background: #2563eb; }
.warning { color: #b45309; }
@media (prefers-color-scheme: dark) {
  body { color: #e5e7eb; background: #111827; } td, th { border-color: #374151; }
  .grid { stroke: #374151; } .warning { color: #fbbf24; }
}
"""


def page(reports: Sequence[dict[str, Any]]) -> str:
    """The page of one report, or of several bundles beside each other."""
    title = ", ".join(_name(report) for report in reports)
    parts = [part for report in reports for part in _report(report)]
    if len(reports) > 1:
        parts = [*_together(reports), *parts]
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width">'
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style></head>\n"
        f"<body>\n{chr(10).join(parts)}\n</body></html>\n"
    )


def _report(report: dict[str, Any]) -> Iterator[str]:
    machine, now, engine = (report[name] for name in ("machine", "conditions", "engine"))
    yield f"<h1>{html.escape(_name(report))}</h1>"
    yield (
        f"<p>{report['bundle']['bytes']:,} bytes, {html.escape(str(machine['processor']))}, "
        f"{machine['cores']} processors, onnxruntime {html.escape(str(engine['version']))}, "
        f"threads: {engine['threads']}</p>"
    )
    yield from (f'<p class="warning">{html.escape(text)}</p>' for text in now["warnings"])
    if report["scenarios"]:
        header = ("scenario", "p50 µs", "p90", "p99", "p99.9", "worst", "calls")
        yield _table(header, [_row(one) for one in report["scenarios"]])
    for one in report["scenarios"]:
        if one["scenario"] != "load":
            yield f"<h2>{html.escape(named(one))}</h2>"
            yield _distribution(one)
    yield from _load([one for one in report["scenarios"] if one["scenario"] == "load"])
    if "step" in report:
        yield from _step(report["step"])
    if "cold_start" in report:
        yield from _fresh(report)


def _distribution(one: dict[str, Any]) -> str:
    edges, counts = one["histogram"]["edges_us"], one["histogram"]["counts"]
    plot = Plot(
        Axis.of("microseconds", edges, logarithmic=True), Axis.of("calls", map(float, counts))
    )
    plot.bars(edges, counts, COLOURS[0])
    for name, colour in (("p50", COLOURS[2]), ("p99", COLOURS[1])):
        if one[f"{name}_us"] is not None:
            plot.mark(one[f"{name}_us"], colour, f"{name} {one[f'{name}_us']:.1f} µs")
    return plot.svg(f"distribution of {named(one)}")


def _load(rows: list[dict[str, Any]]) -> Iterator[str]:
    if not rows:
        return
    yield "<h2>latency against load</h2>"
    curves = {
        name: [
            (100 * one["parameters"]["load"], one[f"{name}_us"])
            for one in rows
            if one[f"{name}_us"] is not None
        ]
        for name in ("p50", "p90", "p99")
    }
    values = [us for points in curves.values() for _, us in points]
    plot = Plot(
        Axis("load, % of what the pool can do", 0.0, 100 * max(LOADS) + 5),
        Axis.of("microseconds", values, logarithmic=True),
    )
    for colour, (name, points) in zip(COLOURS, curves.items(), strict=False):
        if points:
            plot.line(points, colour, name)
    yield plot.svg("latency against load")


def _step(step: dict[str, Any]) -> Iterator[str]:
    whole = max(step["engine_us"] + step["python_us"], 1e-9)
    python = {"operator": "Python", "count": 0, "us": step["python_us"]}
    yield f"<h2>where {step['step_us']:.1f} µs of a step go</h2>"
    rows = [
        [
            html.escape(str(one["operator"])),
            str(one["count"] or ""),
            f"{one['us']:.2f}",
            f"{one['us'] / whole:.1%}",
            f'<span class="bar" style="width: {8 * one["us"] / whole:.2f}rem"></span>',
        ]
        for one in (*step["operators"], python)
    ]
    yield _table(("operator", "count", "µs", "share", ""), rows, escaped=True)


def _fresh(report: dict[str, Any]) -> Iterator[str]:
    cold, memory = report["cold_start"], report["memory"]
    yield "<h2>cold start and memory</h2>"
    stages = ("process", "import", "load", "first_step", "total")
    rows = [[stage.replace("_", " "), f"{cold[f'{stage}_ms']:.1f} ms"] for stage in stages]
    sizes = (("loaded", "load_bytes"), ("at most", "peak_bytes"), ("a stream", "stream_bytes"))
    rows += [
        [name, f"{memory[key] / 1e6:.3f} MB"] for name, key in sizes if memory[key] is not None
    ]
    yield _table((f"median of {cold['starts']} starts", ""), rows)


def _together(reports: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Size, quality and latency of a step of all bundles."""
    points = [point for report in reports if (point := _point(report)) is not None]
    if not points:
        return
    yield "<h1>size, quality and latency</h1>"
    header = ("bundle", "bytes", "step p50 µs", "quality lost")
    rows = [
        [name, f"{size:,}", f"{us:.1f}", "–" if lost is None else f"{lost:+.3%}"]
        for name, size, us, lost in points
    ]
    yield _table(header, rows)
    plot = Plot(
        Axis.of("bytes", [float(size) for _, size, _, _ in points], logarithmic=True),
        Axis.of("step, p50 µs", [us for _, _, us, _ in points], logarithmic=True),
    )
    for colour, (name, size, us, lost) in zip(COLOURS * len(points), points, strict=False):
        cost = "" if lost is None else f", {lost:+.2%}"
        plot.point(size, us, colour, f"{name.rpartition(', ')[2]}{cost}")
    yield plot.svg("bytes against the time of a step")


def _point(report: dict[str, Any]) -> tuple[str, int, float, float | None] | None:
    """Name, bytes, median of a step, and what it lost against float32; None without a step."""
    steps = [one for one in report["scenarios"] if one["scenario"] == "step"]
    if not steps:
        return None
    bundle = report["bundle"]
    return _name(report), bundle["bytes"], steps[0]["p50_us"], bundle["quality_lost"]


def _name(report: dict[str, Any]) -> str:
    return f"{report['bundle']['name']}, {report['bundle']['precision']}"


def _row(one: dict[str, Any]) -> list[str]:
    figures = [one[f"{name}_us"] for name in ("p50", "p90", "p99", "p999", "worst")]
    shown = ["–" if value is None else f"{value:.1f}" for value in figures]
    return [named(one), *shown, f"{one['calls']:,}"]


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], *, escaped: bool = False) -> str:
    def cells(kind: str, values: Sequence[str]) -> str:
        said = values if escaped else [html.escape(value) for value in values]
        return "<tr>" + "".join(f"<{kind}>{value}</{kind}>" for value in said) + "</tr>"

    body = "".join(cells("td", row) for row in rows)
    table = f"<table><thead>{cells('th', header)}</thead><tbody>{body}</tbody></table>"
    return f'<div class="wide">{table}</div>'
