"""The Python of docs/streams.md runs, on tiny bundles in place of those that it names."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.project.repository import ROOT
from tests.project.test_documents import blocks
from tests.runtime.tiny_bundles import write_language_model

PAGE = blocks(ROOT / "docs/streams.md", "python")
BUNDLES = {"build/demo/characters-int8.treadle": 0, "build/updated.treadle": 1}


def run(number: int, folder: Path) -> dict[str, Any]:
    """The names that a block of the page leaves behind, after what the first one imports."""
    text = "import numpy as np\nimport treadle\n" + PAGE[number]
    for bundle, seed in BUNDLES.items():
        if bundle in text:
            tiny = write_language_model(folder, seed=seed, name=f"tiny-{seed}")
            text = text.replace(bundle, tiny.as_posix())
    names: dict[str, Any] = {}
    exec(compile(text, "streams.md", "exec"), names)
    return names


def test_the_page_has_no_other_blocks() -> None:
    assert len(PAGE) == 4


def test_a_stream(tmp_path: Path) -> None:
    names = run(0, tmp_path)
    assert names["saved"].steps.tolist() == [4]
    assert np.isfinite(names["logits"]).all()


def test_an_updated_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = run(1, tmp_path)
    assert names["stream"].steps.tolist() == [5]
    assert names["stream"].reprimed.all()
    assert capsys.readouterr().out == ""


def test_what_really_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(2, tmp_path)
    assert "CPUExecutionProvider" in capsys.readouterr().out


def test_a_pool(tmp_path: Path) -> None:
    names = run(3, tmp_path)
    assert [len(answer) for answer in names["answers"].values()] == [11, 11]
