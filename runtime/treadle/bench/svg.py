"""Plots as SVG, for a page that needs nothing from elsewhere."""

from __future__ import annotations

import html
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

WIDTH, HEIGHT = 640, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 72, 16, 32, 44  # the legend lies above the plot
_ENTRY = 150
"""Width of an entry of the legend."""
COLOURS = ("#2563eb", "#dc2626", "#059669", "#d97706", "#7c3aed", "#0891b2")


@dataclass(frozen=True, slots=True)
class Axis:
    """From `low` to `high`, both above 0 on a logarithmic one."""

    name: str
    low: float
    high: float
    logarithmic: bool = False

    @classmethod
    def of(cls, name: str, values: Iterable[float], *, logarithmic: bool = False) -> Axis:
        """One that holds all values with some room, from 0 where it is not logarithmic."""
        known = list(values)
        low, high = min(known), max(known)
        if logarithmic:
            return cls(name, low / 1.1, high * 1.1, logarithmic=True)
        return cls(name, min(low, 0.0), (high or 1.0) * 1.05)

    def share(self, value: float) -> float:
        """Where a value lies, 0 at the low end and 1 at the high one."""
        low, high = self.low, self.high
        if self.logarithmic:
            low, high, value = math.log(low), math.log(high), math.log(max(value, 1e-12))
        return (value - low) / ((high - low) or 1.0)

    def ticks(self) -> list[float]:
        """Round values between both ends."""
        if self.logarithmic:
            first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
            every = [m * 10.0**e for e in range(first, last + 1) for m in (1, 2, 5)]
            inside = [tick for tick in every if self.low <= tick <= self.high]
            if len(inside) >= 10:
                return [tick for tick in inside if _is_power(tick)]
            if len(inside) >= 3:
                return inside
        step = 10.0 ** math.floor(math.log10((self.high - self.low) / 2))
        steps = next(m * step for m in (1, 2, 5, 10) if (self.high - self.low) / (m * step) <= 6)
        count = math.floor(self.high / steps)
        return [index * steps for index in range(math.ceil(self.low / steps), count + 1)]


@dataclass(slots=True)
class Plot:
    """Axes, and what is drawn between them, in data's units; `svg` gives the picture."""

    x: Axis
    y: Axis
    _drawn: list[str] = field(default_factory=list)
    _named: list[tuple[str, str]] = field(default_factory=list)

    def bars(self, edges: Sequence[float], heights: Sequence[float], colour: str) -> None:
        """A histogram."""
        for low, high, height in zip(edges[:-1], edges[1:], heights, strict=True):
            left, right, top = self._x(low), self._x(high), self._y(height)
            bottom = self._y(self.y.low)
            self._drawn.append(
                f'<rect x="{left:.1f}" y="{top:.1f}" width="{max(right - left, 0.5):.1f}" '
                f'height="{bottom - top:.1f}" fill="{colour}" fill-opacity="0.6"/>'
            )

    def line(self, points: Sequence[tuple[float, float]], colour: str, name: str) -> None:
        """Points joined by a line, named in the legend."""
        path = " ".join(f"{self._x(x):.1f},{self._y(y):.1f}" for x, y in points)
        self._drawn.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>'
        )
        for x, y in points:
            self.point(x, y, colour)
        self._named.append((colour, name))

    def point(self, x: float, y: float, colour: str, name: str = "") -> None:
        """A dot, with its name beside it."""
        at = f'cx="{self._x(x):.1f}" cy="{self._y(y):.1f}"'
        self._drawn.append(f'<circle {at} r="4" fill="{colour}"/>')
        if name:
            self._drawn.append(_text(self._x(x) + 7, self._y(y) + 4, name))

    def mark(self, x: float, colour: str, name: str) -> None:
        """An upright line, named in the legend."""
        at = f'x1="{self._x(x):.1f}" x2="{self._x(x):.1f}"'
        self._drawn.append(
            f'<line {at} y1="{_TOP}" y2="{HEIGHT - _BOTTOM}" stroke="{colour}" stroke-width="2"/>'
        )
        self._named.append((colour, name))

    def svg(self, title: str) -> str:
        """The picture; `title` is read out where it cannot be seen."""
        legend = [
            f'<rect x="{_LEFT + _ENTRY * column}" y="6" width="12" height="12" fill="{colour}"/>'
            + _text(_LEFT + _ENTRY * column + 18, 16, name)
            for column, (colour, name) in enumerate(self._named)
        ]
        body = "".join([*self._frame(), *self._drawn, *legend])
        return (
            f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
            f'aria-label="{html.escape(title)}">{body}</svg>'
        )

    def _frame(self) -> Iterable[str]:
        bottom = HEIGHT - _BOTTOM
        for tick in self.x.ticks():
            at = self._x(tick)
            yield f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{_TOP}" y2="{bottom}" class="grid"/>'
            yield _text(at, bottom + 20, _number(tick), "middle")  # below the 0 of y
        for tick in self.y.ticks():
            at = self._y(tick)
            across = f'x1="{_LEFT}" x2="{WIDTH - _RIGHT}"'
            yield f'<line {across} y1="{at:.1f}" y2="{at:.1f}" class="grid"/>'
            yield _text(_LEFT - 6, at + 4, _number(tick), "end")
        yield _text((_LEFT + WIDTH - _RIGHT) / 2, HEIGHT - 6, self.x.name, "middle")
        middle = (_TOP + bottom) / 2
        yield (
            f'<g transform="rotate(-90 14 {middle})">{_text(14, middle, self.y.name, "middle")}</g>'
        )

    def _x(self, value: float) -> float:
        return _LEFT + self.x.share(value) * (WIDTH - _LEFT - _RIGHT)

    def _y(self, value: float) -> float:
        return HEIGHT - _BOTTOM - self.y.share(value) * (HEIGHT - _TOP - _BOTTOM)


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    said = html.escape(text)
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{said}</text>'


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:g}"


def _is_power(tick: float) -> bool:
    return abs(math.log10(tick) - round(math.log10(tick))) < 1e-9
