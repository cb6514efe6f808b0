"""The README's Python runs, on tiny bundles in the place of those that the demo makes."""

from pathlib import Path

import numpy as np
import pytest

import treadle
from tests.project.repository import ROOT
from tests.project.test_documents import blocks
from tests.runtime.tiny_bundles import write_language_model, write_transducer

DEMO = "build/demo/"
# What the tiny models' vocabularies lack gives way to what they have.
INSTEAD = {'"treadle"': '"cabbage"', '"The "': '"a bed "'}


def test_loading_and_answering(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = blocks(ROOT / "README.md", "python")[0]
    for name, write in (("pronounce-en", write_transducer), ("characters", write_language_model)):
        bundle = f"{DEMO}{name}-int8.treadle"
        assert bundle in text
        text = text.replace(bundle, write(tmp_path, name=name).as_posix())
    for theirs, ours in INSTEAD.items():
        assert theirs in text
        text = text.replace(theirs, ours)
    exec(compile(text, "README.md", "exec"), {})
    pronunciation, _, continued = capsys.readouterr().out.partition("\n")
    assert pronunciation
    assert len(continued) == 80


def test_streaming(tmp_path: Path) -> None:
    text = blocks(ROOT / "README.md", "python")[1]
    with treadle.load(write_language_model(tmp_path)) as model:
        names = {"model": model, "token": np.array([1]), "tokens": np.array([[2, 3]])}
        exec(compile(text, "README.md", "exec"), names)
        assert names["logits"].shape[:2] == (1, 2)
        restored = names["stream"].state()
        snapshot = names["before"]
        assert all(np.array_equal(restored[name], snapshot.state[name]) for name in restored)
