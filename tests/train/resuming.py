"""What tests of interrupted trainings share: a text, a process that dies, what must be equal."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.train.tiny import TEXT, TINY_CHARACTERS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KILLED = """
import os, sys
from treadle_train.cli import train
from treadle_train.modules.base import TaskModule
step = TaskModule.training_step
def deadly(self, batch, index):
    if self.position.step == 23:
        os.kill(os.getpid(), 9)
    return step(self, batch, index)
TaskModule.training_step = deadly
train.main(sys.argv[1:])
"""


def weights(run: Path) -> bytes:
    return (run / "weights.safetensors").read_bytes()


def timeless(history: list[dict[str, float]]) -> list[dict[str, float]]:
    return [{k: v for k, v in row.items() if k != "seconds"} for row in history]


def characters(tmp_path: Path, *changes: str) -> list[str]:
    text = tmp_path / "text.txt"
    text.write_text(TEXT)
    return [*TINY_CHARACTERS, f"data.options.path={text}", "network.dropout=0.3", *changes]


@contextmanager
def without_curves() -> Iterator[None]:
    """Trainings that draw no picture after an epoch, which takes longer than a tiny one trains."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("treadle_train.callbacks.recorder.write_curve", lambda _run, _history: None)
        yield
