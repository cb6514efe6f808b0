"""The page about speech decoding: its Python runs, and prints what its comments say."""

import re

import pytest

from tests.project.repository import ROOT
from tests.project.test_documents import blocks


def test_the_page_prints_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, object] = {}
    texts = blocks(ROOT / "docs/speech-decoding.md", "python")
    for text in texts:
        exec(compile(text, "speech-decoding.md", "exec"), names)
    said = re.findall(r"^print\(.*\)  # (.*)$", "\n".join(texts), flags=re.MULTILINE)
    assert len(said) == "\n".join(texts).count("print(")
    assert capsys.readouterr().out.splitlines() == said
