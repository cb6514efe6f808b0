"""The command line: lazy, helpful about mistakes, and exact about exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import metadata
from typing import TYPE_CHECKING

import pytest

from treadle import cli
from treadle.errors import TreadleError

if TYPE_CHECKING:
    from collections.abc import Callable

HEAVY = ("torch", "lightning", "onnx", "onnxruntime", "numpy", "rich", "treadle_train")


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )


def test_help_imports_nothing_that_a_command_needs() -> None:
    code = f"""
import sys
from treadle.cli import run
assert run(["--help"]) == 0
print("HEAVY", [name for name in {HEAVY!r} if name in sys.modules])
"""
    result = python(code)
    assert result.stdout.endswith("HEAVY []\n"), result.stdout + result.stderr
    for name in cli.OWN:
        assert f"  {name} " in result.stdout


def test_inspect_imports_no_engine() -> None:
    code = """
import sys
from treadle.cli import run
assert run(["inspect", "no-such.treadle"]) == 1
print("HEAVY", [name for name in ("torch", "onnx", "onnxruntime") if name in sys.modules])
"""
    result = python(code)
    assert result.stdout == "HEAVY []\n", result.stderr


@pytest.mark.parametrize("name", sorted(cli.OWN))
def test_each_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run([name, "--help"]) == 0
    assert f"Usage: treadle {name} [OPTIONS]" in (shown := capsys.readouterr().out)
    assert "--json" in shown


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["--version"]) == 0
    assert capsys.readouterr().out.startswith("treadle, version ")


def test_a_misspelt_command_suggests_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["inspet", "x"]) == 2
    assert "no command is called 'inspet'; did you mean 'inspect'?" in capsys.readouterr().err
    assert cli.run(["xyzzy"]) == 2
    assert "there is" in capsys.readouterr().err


def test_wrong_usage_exits_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["inspect"]) == 2
    assert "Missing argument" in capsys.readouterr().err
    assert cli.run(["evaluate", "x", "--limit", "0"]) == 2
    assert cli.run(["verify", "x", "--threads", "zero"]) == 2


def test_an_error_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["inspect", "no-such.treadle"]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert "no-such.treadle" in captured.err


def test_with_json_an_error_is_a_document(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["inspect", "no-such.treadle", "--json"]) == 1
    captured = capsys.readouterr()
    error = json.loads(captured.out)["error"]
    assert error["type"] == "BundleError"
    assert "no-such.treadle" in error["message"]
    assert captured.err == ""


def test_interruption_exits_with_130(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("treadle.bundle.open_bundle", interrupted)
    assert cli.run(["inspect", "x"]) == 130
    assert "interrupted" in capsys.readouterr().err


class MissingExtra(metadata.EntryPoint):
    """An entry point whose package lacks `torch`."""

    def load(self) -> object:
        raise ModuleNotFoundError("No module named 'torch.nn'", name="torch.nn")


class Broken(metadata.EntryPoint):
    """An entry point into a room that is not there."""

    def load(self) -> object:
        raise ModuleNotFoundError("No module named 'treadle_train'", name="treadle_train")


def test_a_missing_extra_names_the_pip_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    points = {
        name: kind(name, "nowhere:nothing", cli.ENTRY_POINTS)
        for name, kind in (("train", MissingExtra), ("plugin", MissingExtra), ("demo", Broken))
    }
    monkeypatch.setattr(cli, "_entry_points", lambda: points)
    assert cli.run(["train", "--json"]) == 1
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["message"] == (
        "the command train needs the package torch, which is not installed: "
        "pip install 'treadle[train]'"
    )
    assert cli.run(["plugin"]) == 1
    assert "pip install torch" in capsys.readouterr().err
    with pytest.raises(ModuleNotFoundError):
        cli.run(["demo"])


def test_an_extra_that_a_command_misses_while_it_runs_is_named_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def needs(package: str) -> Callable[..., None]:
        def open_bundle(_: object) -> None:
            raise ModuleNotFoundError(f"No module named {package!r}", name=package)

        return open_bundle

    monkeypatch.setattr("treadle.bundle.open_bundle", needs("rich.table"))
    assert cli.run(["inspect", "x"]) == 1
    assert "the command inspect needs the package rich, which is not" in capsys.readouterr().err
    monkeypatch.setattr("treadle.bundle.open_bundle", needs("treadle_lost"))
    with pytest.raises(ModuleNotFoundError, match="treadle_lost"):
        cli.run(["inspect", "x"])


def test_it_runs_as_a_module() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "treadle", "--version"], capture_output=True, text=True, check=True
    )
    assert result.stdout.startswith("treadle, version ")


def test_commands_without_their_entry_point_are_not_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "_entry_points", dict)
    assert cli.cli.list_commands(cli.cli.make_context("treadle", [], resilient_parsing=True)) == [
        name for name in cli.SUMMARIES if name in cli.OWN
    ]


def test_json_is_not_looked_for_among_the_texts() -> None:
    assert cli._asks_for_json(["run", "x", "--json"])
    assert not cli._asks_for_json(["run", "x", "--", "--json"])


def test_an_error_without_json_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    cli.report_error(TreadleError("expected this, got that"), as_json=False)
    assert capsys.readouterr().err == "error: expected this, got that\n"
