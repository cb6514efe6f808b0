"""One version, in one place."""

import importlib.metadata
import re

import treadle
from tests.project.repository import ROOT, project


def test_the_version_of_the_package_is_the_one_in_its_code() -> None:
    assert project()["project"]["dynamic"] == ["version"]
    assert importlib.metadata.version("treadle") == treadle.__version__


def test_the_changelog_begins_with_the_version() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## \[([^\]]+)\]", changelog, flags=re.MULTILINE)
    released = [heading for heading in headings if heading != "Unreleased"]
    assert released[0] == treadle.__version__
