"""The comparison from weights to rows, with the engines that the project has anyway."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.peers.environments import UnavailableError, last_lines, python_of
from benchmarks.peers.workloads import BUILD
from tests.project.repository import ROOT


@pytest.mark.slow  # each engine is a process of its own
def test_a_small_comparison(tmp_path: Path) -> None:
    output = tmp_path / "peers.json"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "benchmarks.peers", "--quick", "--workload", "small"),
            *("--engine", "treadle", "--engine", "torch eager", "--engine", "onnxruntime"),
            *("--precision", "fp32", "--cell", "lstm", "--threads", "1", "--output", output),
        ],
        cwd=ROOT,
        env=os.environ | {"PEERS_BUILD": str(tmp_path / "build")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    results = json.loads(output.read_text(encoding="utf-8"))
    rows = results["rows"]
    assert [row["engine"] for row in rows] == ["treadle", "torch eager", "onnxruntime"]
    assert results["absent"] == []
    assert results["machine"]["cores"] >= 1
    for row in rows:
        assert not row["wrong"], row
        assert row["error"] < 1e-4
        assert row["argmax_agreement"] == 1.0
        assert 0 < row["p50_us"] <= row["p99_us"]
        assert row["resident_mb"] > 1


def test_an_engine_that_cannot_be_installed_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ncnn.txt").write_text("no such requirement!\n", encoding="utf-8")
    home = tmp_path / "build/venv-ncnn/bin"
    home.mkdir(parents=True)
    (home / "python").symlink_to(sys.executable)  # an environment would take seconds
    monkeypatch.setattr("benchmarks.peers.environments.REQUIREMENTS", tmp_path)
    monkeypatch.setattr("benchmarks.peers.environments.BUILD", tmp_path / "build")
    with pytest.raises(UnavailableError, match="-m pip"):
        python_of("ncnn")


def test_the_project_itself_runs_what_it_needs_anyway() -> None:
    assert python_of("torch") == Path(sys.executable)


def test_the_last_lines_of_what_a_program_said() -> None:
    assert last_lines("one\n\ntwo\nthree\n", 2) == "two / three"
    assert last_lines("") == "it said nothing"


def test_a_reason_names_no_place_of_this_machine() -> None:
    told = last_lines(f"could not fetch https://example.org/x into {BUILD}/engine\n")
    assert told == "could not fetch … into …/engine"
