"""`treadle recipes` and `treadle train`: output, exit codes, and what they import."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from click.testing import CliRunner

from tests.train.tiny import TEXT, TINY_CHARACTERS
from treadle.errors import TreadleError
from treadle_train.cli import recipes, train
from treadle_train.modules.base import TaskModule

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def arguments(tmp_path: Path) -> list[str]:
    text = tmp_path / "text.txt"
    text.write_text(TEXT)
    changes = [*TINY_CHARACTERS, "training.epochs=1", f"data.options.path={text}"]
    return ["characters", "--out", str(tmp_path / "run")] + [
        part for change in changes for part in ("--set", change)
    ]


def test_recipes_are_listed_by_name_and_as_json() -> None:
    assert "pronounce-en-large  " in CliRunner().invoke(recipes).stdout
    document = json.loads(CliRunner().invoke(recipes, ["--json"]).stdout)
    first = next(one for one in document["recipes"] if one["name"] == "characters")
    assert first["training"]["patience"] == 3


def test_train_prints_one_document_and_progress_goes_to_stderr(tmp_path: Path) -> None:
    result = CliRunner().invoke(train, [*arguments(tmp_path), "--json"])
    assert result.exit_code == 0
    document = json.loads(result.stdout)
    assert document["recipe"] == "characters"
    assert document["history"][0]["epoch"] == 1
    assert result.stderr.startswith("epoch 1/1, train loss ")
    assert "validation bits per character" in result.stderr


def test_ctrl_c_says_how_to_resume_and_exits_130(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = TaskModule.training_step

    def interrupted(self: TaskModule[Any], batch: Any, index: int) -> Any:
        os.kill(os.getpid(), signal.SIGINT)
        return step(self, batch, index)

    monkeypatch.setattr(TaskModule, "training_step", interrupted)
    result = CliRunner().invoke(train, arguments(tmp_path))
    assert result.exit_code == 130
    assert "Interrupted. Continue with: treadle train characters --out" in result.stderr
    assert result.stderr.rstrip().endswith("--resume")


def test_a_second_ctrl_c_ends_at_once_and_the_same_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached = []

    def interrupted(*_: object) -> Any:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        reached.append("the rest of the step")

    monkeypatch.setattr(TaskModule, "training_step", interrupted)
    result = CliRunner().invoke(train, arguments(tmp_path))
    assert result.exit_code == 130
    assert not reached
    assert "Interrupted. Continue with: treadle train" in result.stderr
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("treadle_train.callbacks.keeper.write_checkpoint", full)
    result = CliRunner().invoke(train, arguments(tmp_path))
    assert isinstance(result.exception, TreadleError)
    assert "Cannot write the run" in str(result.exception)
    assert "No space left on device" in str(result.exception)


def test_help_needs_no_torch() -> None:
    code = (
        "import sys; from treadle_train.cli import train, recipes\n"
        "train.main(['--help'], standalone_mode=False)\n"
        "recipes.main([], standalone_mode=False)\n"
        "sys.exit('torch' in sys.modules or 'lightning' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert result.returncode == 0
