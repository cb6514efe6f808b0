"""The Python of docs/decoding.md runs, on tiny bundles in place of those that the demo makes."""

import re
from pathlib import Path

import pytest

from tests.project.repository import ROOT
from tests.project.test_documents import blocks
from tests.runtime.tiny_bundles import write_language_model, write_transducer

PAGE = blocks(ROOT / "docs/decoding.md", "python")
# What the tiny models' vocabularies lack gives way to what they have.
INSTEAD = {
    '"treadle"': '"cabbage"',
    '"The "': '"a bed "',
    '["yes", "no", "none"]': '["bad", "egg"]',
    '["red", "green", "blue"]': '["fed", "had"]',
    'separators=", "': 'separators=" "',
}


def shown(number: int, folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """What a block of the page prints."""
    text = PAGE[number]
    for name, write in (("pronounce-en", write_transducer), ("characters", write_language_model)):
        bundle = f"build/demo/{name}-int8.treadle"
        if bundle in text:
            text = text.replace(bundle, write(folder, name=name).as_posix())
    for theirs, ours in INSTEAD.items():
        text = text.replace(theirs, ours)
    exec(compile(text, "decoding.md", "exec"), {})
    return capsys.readouterr().out


def test_the_page_has_no_other_blocks_and_names_no_other_texts() -> None:
    assert len(PAGE) == 3
    assert all(any(theirs in text for text in PAGE) for theirs in INSTEAD)


def test_sampling(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = shown(0, tmp_path, capsys)
    perplexity = re.search(r"([0-9.]+)\n\Z", made)
    assert perplexity is not None
    assert "\n\n" not in made
    assert 1 < float(perplexity[1]) < 1000


def test_constraints(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    choice, words, expression = shown(1, tmp_path, capsys).splitlines()
    assert choice in ("bad", "egg")
    assert set(words.split(" ")[:-1]) <= {"fed", "had"}
    assert re.fullmatch("[a-f]{2,4}( [a-f]{2,4}){3}", expression)


def test_a_function_with_a_beam(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answers = shown(2, tmp_path, capsys).splitlines()
    assert len(answers) == 3
    for answer in answers:
        assert not re.search(r"\b(\w+) \1\b", answer.partition(" ")[2])
