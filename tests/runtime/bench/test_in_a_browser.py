"""The page of `treadle bench --html` in a real browser: nothing missing, nothing cut off.

Skips where there is no Chromium; `.ci/run` installs one where it may.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.browser import a_browser
from treadle import cli
from treadle.bench import processes
from treadle.bench.svg import Axis, Plot

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser

FAULTS = """() => [...document.querySelectorAll("svg")].flatMap(svg => {
  const around = svg.getBoundingClientRect();
  const texts = [...svg.querySelectorAll("text")]
    .map(text => [text.textContent, text.getBoundingClientRect()]);
  const inside = box => box.left > around.left - 1 && box.right < around.right + 1 &&
    box.top > around.top - 1 && box.bottom < around.bottom + 1;
  const over = (a, b) => a.left < b.right - 1 && b.left < a.right - 1 &&
    a.top < b.bottom - 2 && b.top < a.bottom - 2;
  return [
    ...texts.filter(([, box]) => !inside(box)).map(([text]) => `${text} is cut off`),
    ...texts.flatMap(([text, box], index) => texts.slice(index + 1)
      .filter(([, other]) => over(box, other)).map(([other]) => `${text} lies on ${other}`)),
  ];
})"""
"""What is wrong with the texts of the page's plots, in words."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with a_browser() as started:
        yield started


@pytest.fixture(scope="module")
def report(bundles: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("page") / "report.html"
    both = [str(bundles[kind]) for kind in ("characters", "pronounce")]
    every = ("step", "pool", "load", "real-time", "operators", "cold-start")
    wanted = [part for name in every for part in ("--scenario", name)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(processes, "STARTS", 2)
        asked = ["bench", *both, *wanted, "--streams", "3", "--seconds", "0.05"]
        assert cli.run([*asked, "--json", "--html", str(out)]) == 0
    return out


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1200, 390])
def test_a_browser_shows_all_of_a_report(
    width: int, scheme: Any, browser: Browser, report: Path
) -> None:
    screen = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    asked: list[str] = []
    said: list[str] = []
    screen.on("request", lambda request: asked.append(request.url))
    screen.on("console", lambda message: said.append(message.text))
    screen.goto(report.as_uri())
    assert asked == [report.as_uri()]  # one file, which asks for nothing else
    assert not said
    assert screen.evaluate(FAULTS) == []
    assert screen.evaluate("document.documentElement.scrollWidth") <= width
    plots = screen.locator("svg")
    assert plots.count() >= 9
    for index in range(plots.count()):
        box = plots.nth(index).bounding_box()
        assert box is not None
        assert box["width"] > 0.8 * min(width, 700)
        assert box["height"] > 100
        assert len(set(plots.nth(index).screenshot())) > 100  # something is drawn in it
    text, ground = (
        screen.evaluate(f"getComputedStyle(document.body).{name}")
        for name in ("color", "backgroundColor")
    )
    assert _brightness(text) - _brightness(ground) > 500 or scheme == "light"
    assert _brightness(ground) - _brightness(text) > 500 or scheme == "dark"
    screen.close()


def test_numbers_of_both_axes_in_one_corner_stand_apart(browser: Browser) -> None:
    drawn = Plot(Axis("µs", 260, 300), Axis("calls", 0, 9)).svg("a corner")
    screen = browser.new_page(viewport={"width": 1200, "height": 900})
    # As wide as on the page, in its letters.
    screen.set_content(f'<div style="width: 740px; font: 12px system-ui, sans-serif">{drawn}</div>')
    assert screen.evaluate(FAULTS) == []
    screen.close()


def _brightness(colour: str) -> int:
    """The sum of the three parts of "rgb(31, 41, 55)"."""
    return sum(int(part) for part in colour.strip("rgb()").split(","))
