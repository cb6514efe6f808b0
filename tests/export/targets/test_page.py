"""docs/targets.md tells of every target what the table tells, in the same order."""

from __future__ import annotations

import re

from tests.project.repository import ROOT
from treadle_export.targets import TARGETS

PAGE = ROOT / "docs/targets.md"


def rows() -> dict[str, list[str]]:
    """The cells of the page's table by target."""
    lines = re.findall(r"^\| `(\w+)` \| (.*) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return {name: cells.split(" | ") for name, cells in lines}


def test_the_page_has_every_target_with_its_engine_precisions_and_opset() -> None:
    assert list(rows()) == list(TARGETS)
    for name, (engine, precisions, written) in rows().items():
        target = TARGETS[name]
        assert engine == target.summary
        assert precisions == ", ".join(f"`{precision}`" for precision in target.precisions)
        assert f"opset {target.opset}" in written or name == "mobile"


def test_the_page_has_a_section_for_every_target_but_the_plain_one() -> None:
    headings = re.findall(r"^## (\w+)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert headings == [name for name in TARGETS if name != "cpu"]
