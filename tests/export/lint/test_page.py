"""docs/lint.md tells of every check what the table tells, in the same order."""

from __future__ import annotations

import re

from tests.project.repository import ROOT
from treadle_export.lint.table import CHECKS

PAGE = ROOT / "docs/lint.md"


def sections() -> dict[str, str]:
    """The text below each heading of a check, in one line."""
    _, *parts = re.split(r"^### ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    split = [part.partition("\n") for part in parts]
    return {name: " ".join(text.split()) for name, _, text in split}


def test_the_page_has_every_check_in_the_order_of_the_table() -> None:
    assert list(sections()) == [check.name for check in CHECKS]


def test_the_page_says_what_the_checks_say() -> None:
    for check in CHECKS:
        assert sections()[check.name] == (
            f"*{' or '.join(check.severities)}*: {check.looks_for}. "
            f"**Costs.** {check.costs} **Mend.** {check.mend}"
        )
