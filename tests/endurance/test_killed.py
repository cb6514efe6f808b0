"""A process that dies while it saves leaves the snapshot before, or the one after, whole."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.endurance.inputs import symbol
from tests.endurance.saver import EVERY
from tests.project.repository import ROOT
from treadle.state import Snapshot

if TYPE_CHECKING:
    from pathlib import Path

    from treadle.model import Model
    from treadle.stream import Stream


def kill_a_saver(bundle: Path, path: Path, seconds: float) -> None:
    """Kill it `seconds` after it first saved: no handler runs, nothing is flushed."""
    command = [sys.executable, "-m", "tests.endurance.saver", str(bundle), str(path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline().startswith(b"saved")
            time.sleep(seconds)
        finally:
            process.kill()


def move_on(stream: Stream, step: int) -> None:
    """Read what the saver reads, up to `step`."""
    for now in range(int(stream.steps[0]), step):
        stream.step(np.array([symbol(0, now)]))


def kill_savers(model: Model, bundle: Path, path: Path, times: int) -> int:
    """The step at the last one's end."""
    chance, reached = random.Random(times), 0
    with model.stream() as stream:
        for _ in range(times):
            kill_a_saver(bundle, path, chance.uniform(0, 0.1))
            snapshot = Snapshot.load(path)
            step = int(snapshot.steps[0])
            assert step > reached
            assert step % EVERY == 0
            move_on(stream, step)
            assert snapshot == stream.snapshot()
            reached = step
    # What was being written has another name, and at most one file a death.
    assert len(list(path.parent.iterdir())) <= 1 + times
    return reached


def test_killed_twice(model: Model, bundle: Path, tmp_path: Path) -> None:
    kill_savers(model, bundle, tmp_path / "state.npz", 2)


@pytest.mark.slow
def test_killed_50_times(model: Model, bundle: Path, tmp_path: Path) -> None:
    reached = kill_savers(model, bundle, tmp_path / "state.npz", 50)
    left = len(list(tmp_path.iterdir())) - 1
    print(f"{reached} steps, {left} unfinished files of other names")
