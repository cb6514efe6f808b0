"""The rows as a picture: how far from the floor each engine's int8 step is, with one thread."""

from __future__ import annotations

import html
import math
from typing import TYPE_CHECKING

from benchmarks.peers.engines import ENGINES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from benchmarks.peers.rows import Row

PRECISION, THREADS = "int8", 1
WIDTH, LEFT, RIGHT, TOP, STEP = 760, 120, 20, 60, 34
COLOURS = {
    "treadle": "#dc2626",
    "torch": "#d97706",
    "onnxruntime": "#2563eb",
    "litert": "#059669",
    "executorch": "#7c3aed",
    "openvino": "#0891b2",
    "ncnn": "#6b7280",
}


def picture(rows: Iterable[Row]) -> str:
    """An SVG: a line a workload, a dot an engine's fastest right row, 1 where its floor is."""
    lines: dict[str, dict[str, float]] = {}
    for row in rows:
        times = row.times_floor
        if row.precision == PRECISION and row.threads == THREADS and times and not row.wrong:
            dots = lines.setdefault(f"{row.workload} {row.cell.upper()}", {})
            family = ENGINES[row.engine].family
            dots[family] = min(times, dots.get(family, math.inf))
    height = TOP + STEP * len(lines) + 40
    every = [times for dots in lines.values() for times in dots.values()]
    low, high = min([1.0, *every]) / 1.15, max([10.0, *every]) * 1.15
    body = [*_legend(), *_grid(low, high, height)]
    for index, (name, dots) in enumerate(lines.items()):
        y = TOP + STEP * (index + 0.5)
        body.append(_text(LEFT - 10, y + 4, name, "end"))
        body += [
            f'<circle cx="{_x(times, low, high):.1f}" cy="{y:.1f}" r="5.5" '
            f'fill="{COLOURS[family]}" fill-opacity="0.85" stroke="white">'
            f"<title>{family} {times:.1f}</title></circle>"
            for family, times in sorted(dots.items(), key=_above)
        ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'font-family="sans-serif" font-size="12"><title>{PRECISION} step over the floor</title>'
        f'<rect width="100%" height="100%" fill="white"/>{"".join(body)}</svg>\n'
    )


def _above(dot: tuple[str, float]) -> bool:
    """Last is on top: where dots meet, the product's is seen."""
    return dot[0] == "treadle"


def _x(value: float, low: float, high: float) -> float:
    share = math.log(value / low) / math.log(high / low)
    return LEFT + share * (WIDTH - LEFT - RIGHT)


def _legend() -> Iterator[str]:
    for index, (family, colour) in enumerate(COLOURS.items()):
        x = 24 + 104 * index
        yield f'<circle cx="{x}" cy="20" r="5.5" fill="{colour}"/>'
        yield _text(x + 10, 24, family)


def _grid(low: float, high: float, height: float) -> Iterator[str]:
    bottom = height - 40
    for tick in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000):
        if low <= tick <= high:
            x = _x(tick, low, high)
            colour = "#111827" if tick == 1 else "#e5e7eb"
            yield f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{bottom}" stroke="{colour}"/>'
            yield _text(x, bottom + 16, f"{tick}", "middle")
    yield _text((LEFT + WIDTH - RIGHT) / 2, height - 6, "times the floor", "middle")


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    said = html.escape(text)
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{said}</text>'
