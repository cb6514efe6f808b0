"""`treadle lint`: text or one JSON document, and an exit status that tells whether to look."""

from __future__ import annotations

import json
from importlib import metadata
from typing import TYPE_CHECKING

import pytest

from tests.export.lint.graphs import streaming, without_inputs
from treadle import cli

if TYPE_CHECKING:
    from pathlib import Path

    from onnx import ModelProto

COMMAND = "treadle_export.commands.lint:lint"


@pytest.fixture(autouse=True)
def hung_on_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the installed package does it, whether or not this checkout has been installed."""
    point = metadata.EntryPoint("lint", COMMAND, cli.ENTRY_POINTS)
    monkeypatch.setattr(cli, "_entry_points", lambda: {"lint": point})


def save(made: ModelProto, directory: Path) -> str:
    path = directory / "model.onnx"
    path.write_bytes(made.SerializeToString())
    return str(path)


def stateless(directory: Path) -> str:
    return save(without_inputs(streaming("GRU"), "h_in"), directory)


def noted(directory: Path) -> str:
    return save(streaming("GRU", direction="bidirectional"), directory)


def test_the_project_declares_the_command() -> None:
    from tests.project.repository import project

    assert project()["project"]["entry-points"]["treadle.commands"]["lint"] == COMMAND


def test_a_finding_is_told_in_a_block(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = stateless(tmp_path)
    assert cli.run(["lint", path]) == 1
    first, blank, told, *rest = capsys.readouterr().out.splitlines()
    assert first == f"{path}: 1 recurrent layer; 1 warning"
    assert blank == ""
    assert told == (
        "warning: GRU node 'layer' starts every call from the same state: initial_h is left out "
        "[baked-initial-state]"
    )
    assert rest[0].startswith("  costs: Each call begins again")
    assert any(line.startswith("  mend:  Make the state an argument") for line in rest)
    assert all(len(line) <= 100 for line in rest)


def test_notes_do_not_fail(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["lint", noted(tmp_path)]) == 0
    assert "note: GRU node 'layer' reads its input backwards" in capsys.readouterr().out


def test_nothing_to_mend(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = save(streaming(), tmp_path)
    assert cli.run(["lint", path]) == 0
    assert capsys.readouterr().out == f"{path}: 1 recurrent layer; nothing to mend\n"


def test_one_json_document(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = stateless(tmp_path)
    assert cli.run(["lint", path, "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["file"] == path
    assert document["recurrent_layers"] == 1
    (finding,) = document["findings"]
    assert list(finding) == ["check", "severity", "node", "message", "costs", "mend"]
    assert (finding["check"], finding["severity"]) == ("baked-initial-state", "warning")
    assert finding["node"] == "layer"


def test_the_worst_comes_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = without_inputs(streaming("GRU", linear_before_reset=0, clip=1.0), "h_in", "lengths")
    made.producer_name = "pytorch"
    assert cli.run(["lint", save(made, tmp_path), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)["findings"]
    assert [finding["severity"] for finding in found] == ["error", "warning", "warning", "note"]


def test_a_file_that_cannot_be_read_is_an_error_of_the_tree(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"not a model")
    assert cli.run(["lint", str(path)]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: expected an ONNX")
    assert cli.run(["lint", str(path), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["error"]["type"] == "ExportError"


def test_a_model_must_be_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["lint"]) == 2
    assert "Missing argument 'MODEL'" in capsys.readouterr().err
