"""`python -m benchmarks`: what it writes where, and which benchmarks it knows."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.__main__ import NAMES, markers, question, replaced, section

ROOT = Path(__file__).parents[2]


def test_a_section_is_renewed_in_its_place() -> None:
    text = replaced("# Title\n", "step", section("step", "old\n"))
    text = replaced(text, "pool", section("pool", "beside\n"))
    text = replaced(text, "step", section("step", "new\n"))
    assert text.startswith("# Title\n")
    assert "old" not in text
    assert text.index("new") < text.index("beside")
    assert text.count(question("step")) == 1


def test_a_lost_marker_is_an_error() -> None:
    begin, end = markers("step")
    with pytest.raises(ValueError, match="end of step"):
        replaced(f"{begin}\n", "step", "new")
    assert end not in begin


@pytest.mark.parametrize("name", NAMES)
def test_every_benchmark_asks_a_question_and_keeps_its_report(name: str) -> None:
    assert question(name).endswith(("?", "."))
    assert len(question(name)) > 30
    assert callable(importlib.import_module(f"benchmarks.{name}").add_json)


def test_a_benchmark_runs_and_is_written_down(tmp_path: Path) -> None:
    where = ["--results", str(tmp_path), "--readme", str(tmp_path / "README.md")]
    asked = [sys.executable, "-m", "benchmarks", "import_time", *where]
    done = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:  # a busy machine may miss the budget of milliseconds, which is its own test
        assert "failed: import_time" in done.stderr
        return
    document = json.loads((tmp_path / "import_time.json").read_text())
    assert set(document) == {"date", "machine", "conditions", "versions", "report"}
    assert document["report"]["numpy_ms"] > 0
    assert "import numpy" in (tmp_path / "README.md").read_text()


def test_an_unknown_benchmark_is_named() -> None:
    asked = [sys.executable, "-m", "benchmarks", "speed"]
    done = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "no benchmark 'speed'" in done.stderr
