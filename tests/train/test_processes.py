"""A training in several processes is the training of one, to rounding."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from tests.train import together
from tests.train.resuming import characters, timeless, weights
from tests.train.tiny import tiny_transducer
from treadle.errors import DeviceError, RecipeError, TrainingError
from treadle_train.batching.bucketed import PairBatch
from treadle_train.batching.lanes import LaneBatch
from treadle_train.batching.order import batch_seed
from treadle_train.catalogue import load_recipe
from treadle_train.processes import group as groups
from treadle_train.processes.group import Group
from treadle_train.processes.launching import _free_port, run_in_processes
from treadle_train.processes.shares import Shares, divided, rows_of, state_share, whole_state
from treadle_train.training import train

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.xdist_group("processes")  # all are trained once

TASKS = ("characters", "pronounce", "classify", "forecast", "tag")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every task's runs, by one process in `1`, by two in `2`."""
    folder = tmp_path_factory.mktemp("together")
    together.train_all(folder, 1)
    section = together.tasks(folder, 2)["tag"][0].training
    run_in_processes(section, together.train_all, folder, 2)
    return folder


def _history(run: Path) -> list[dict[str, float]]:
    return timeless(json.loads((run / "run.json").read_text())["history"])


@pytest.mark.parametrize("task", TASKS)
def test_two_processes_are_one(task: str, trained: Path) -> None:
    alone, both = trained / "1" / task, trained / "2" / task
    for one, two in zip(_history(alone), _history(both), strict=True):
        assert two == pytest.approx(one, rel=1e-4)
    ours, theirs = load_file(both / "weights.safetensors"), load_file(alone / "weights.safetensors")
    for name, value in theirs.items():
        torch.testing.assert_close(ours[name], value, rtol=1e-3, atol=1e-4)
    assert json.loads((both / "run.json").read_text())["processes"] == 2
    assert (both / "report.md").exists()
    assert not [file for file in both.iterdir() if file.name.startswith(".")]


def test_rounded_weights_follow_the_gradient_of_all(trained: Path) -> None:
    alone, both = (_history(trained / count / "rounded") for count in "12")
    assert len(both) == len(alone) == 2
    for one, two in zip(alone, both, strict=True):
        assert two == pytest.approx(one, rel=1e-2)  # a level turns over where a weight is between


@pytest.mark.parametrize("task", together.RESUMED)
def test_as_many_processes_resume_to_the_bit(task: str, trained: Path) -> None:
    whole, broken = (trained / "2" / f"{task} {end}" for end in ("whole", "broken"))
    assert weights(broken) == weights(whole)
    assert _history(broken) == _history(whole)
    assert weights(whole) != weights(trained / "1" / f"{task} whole")  # each drops its own


def test_another_number_of_processes_goes_on(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(trained / "2" / "moved", tmp_path / "moved")
    state = json.loads((tmp_path / "moved" / "checkpoint" / "latest.json").read_text())["state"]
    assert 0 < state["position"]["batch"] < together.CRASH  # with states to carry, of both
    train(together.tasks(trained, 1)["characters"][0], tmp_path / "moved", resume=True)
    assert "began in 2 processes and goes on in 1" in capsys.readouterr().err
    alone, moved = _history(trained / "1" / "characters"), _history(tmp_path / "moved")
    for one, two in zip(alone, moved, strict=True):
        assert two == pytest.approx(one, rel=1e-4)


ROWS = st.integers(1, 9)


@given(rows=ROWS, answers=ROWS, count=st.integers(1, 5))
def test_every_row_is_read_once(rows: int, answers: int, count: int) -> None:
    batch = (
        PairBatch(*(torch.arange(rows * k).reshape(rows, k) for k in (2, 1, 3, 3))),
        (torch.arange(answers), [[k] for k in range(answers)]),
    )
    parts = [own for rank in range(count) if (own := rows_of(batch, Group(rank, count)))]
    for index in range(4):
        assert torch.equal(torch.cat([pairs[index] for pairs, _ in parts]), batch[0][index])
    assert torch.equal(torch.cat([words[0] for _, words in parts]), batch[1][0])
    assert [row for _, words in parts for row in words[1]] == batch[1][1]
    assert all(isinstance(pairs, PairBatch) and len(pairs.source) for pairs, _ in parts)
    if min(rows, answers) >= count:
        sizes = [len(pairs.source) for pairs, _ in parts]
        assert len(sizes) == count
        assert max(sizes) - min(sizes) <= 1
    else:
        assert len(parts) == 1  # too few to divide


@given(lanes=ROWS, count=st.integers(1, 5))
def test_a_carried_state_follows_its_lanes(lanes: int, count: int) -> None:
    state = {"0.hidden": torch.arange(lanes * 3.0).reshape(lanes, 3)}
    batch = LaneBatch(torch.arange(lanes)[:, None], torch.arange(lanes)[:, None], fresh=False)
    parts = []
    for rank in range(count):
        group = Group(rank, count)
        [share] = Shares([batch], group)
        own = state_share(state, group)
        assert torch.equal(own["0.hidden"][:, 0], share.batch.inputs[:, 0] * 3.0)
        assert share.batch.fresh is False
        parts.append((own, share.counted))
    assert torch.equal(whole_state(parts)["0.hidden"], state["0.hidden"])


def test_a_batch_whose_rows_are_no_examples_is_refused() -> None:
    batch = LaneBatch(torch.zeros(4, 2), torch.zeros(8), fresh=True)
    with pytest.raises(TypeError, match=r"can share, got \[4, 8\] rows in LaneBatch"):
        next(iter(Shares([batch], Group(0, 2))))


def test_what_cannot_be_divided_is_left_whole() -> None:
    batches = [LaneBatch(torch.zeros(1, 2), torch.zeros(1, 2), fresh=True)]
    assert divided(batches, Group(0, 2)) is None
    assert len(divided(batches, Group(0, 1)) or []) == 1


def test_processes_draw_apart_and_the_first_as_ever() -> None:
    assert batch_seed(3, 5, 0) == (3 << 32) + 5
    drawn = {
        batch_seed(seed, step, rank) for seed in (0, 1) for step in (0, 1) for rank in range(3)
    }
    assert len(drawn) == 12
    torch.manual_seed(batch_seed(2**31 - 1, 2**32 - 1, 1))  # in torch's range


def test_more_processes_than_rows_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="are 6 processes, which share batches of 4: some would"):
        train(tiny_transducer("training.devices=3", "training.num_nodes=2"), tmp_path / "run")


def test_machines_that_cannot_find_each_other_are_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MASTER_ADDR", "10.0.0.1")
    with pytest.raises(RecipeError, match="needs MASTER_PORT, NODE_RANK in the environment"):
        train(tiny_transducer("training.num_nodes=2"), tmp_path / "run")


def test_as_many_as_torchrun_started_are_what_the_recipe_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("TORCHELASTIC_RUN_ID", "x"), ("RANK", "1"), ("WORLD_SIZE", "4")):
        monkeypatch.setenv(name, value)
    with pytest.raises(RecipeError, match=r"are 2 processes, but torchrun has started 4; give"):
        train(tiny_transducer("training.devices=2"), tmp_path / "run")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has what the test lacks")
def test_a_device_that_is_not_there_is_named(tmp_path: Path, monkeypatch: Any) -> None:
    recipe = tiny_transducer("training.accelerator=cuda", "training.devices=2")
    monkeypatch.setattr(torch.version, "cuda", None)
    with pytest.raises(DeviceError, match=r"needs a PyTorch with CUDA, and .* is built without"):
        train(recipe, tmp_path / "run")
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    with pytest.raises(DeviceError, match="asks for 2 CUDA devices, and this machine has 0"):
        train(recipe, tmp_path / "run")


def test_a_mistake_is_named_before_processes_start(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine.txt").write_text("kept")
    with pytest.raises(RecipeError, match="is in the way"):
        train(tiny_transducer("training.devices=2"), tmp_path / "run")
    assert not multiprocessing.active_children()


def test_a_process_that_is_lost_is_named() -> None:
    lost = pytest.raises(TrainingError, match="Another process of this training has ended")
    with lost, groups._others_stay():
        raise RuntimeError("[gloo/transport/tcp/pair.cc] Connection closed by peer")
    with pytest.raises(RuntimeError, match="shapes"), groups._others_stay():
        raise RuntimeError("shapes do not fit")


def _soon(run: Path, act: Callable[[], None]) -> threading.Thread:
    """Act once the run has a checkpoint within an epoch."""

    def watch() -> None:
        while not (run / "checkpoint" / "latest.json").exists():
            time.sleep(0.05)
        act()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return thread


def _long(tmp_path: Path) -> Any:
    changes = ["training.epochs=60", "training.devices=2", "training.checkpoint_steps=2"]
    return load_recipe("characters", characters(tmp_path, *changes))


@pytest.mark.slow
def test_a_killed_process_ends_all_and_the_checkpoint_stays(tmp_path: Path) -> None:
    out = tmp_path / "run"

    def kill() -> None:
        victim = multiprocessing.active_children()[-1]
        assert victim.pid is not None
        os.kill(victim.pid, signal.SIGKILL)

    watcher = _soon(out, kill)
    with pytest.raises(TrainingError, match=r"of the 2 of this training was ended by SIGKILL"):
        train(_long(tmp_path), out, progress="none")
    watcher.join()
    assert not multiprocessing.active_children()
    step = json.loads((out / "checkpoint" / "latest.json").read_text())["state"]["position"]["step"]
    assert step > 0
    assert json.loads((out / "run.json").read_text())["finished"] is False


@pytest.mark.slow
def test_ctrl_c_ends_all_after_one_step_and_resuming_is_exact(tmp_path: Path) -> None:
    changes = characters(tmp_path, "training.devices=2", "training.checkpoint_steps=2")
    recipe = load_recipe("characters", changes)
    whole = train(recipe, tmp_path / "whole", progress="none")
    out = tmp_path / "broken"
    watcher = _soon(out, lambda: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        train(recipe, out, progress="none")
    watcher.join()
    assert not multiprocessing.active_children()
    assert json.loads((out / "run.json").read_text())["finished"] is False
    resumed = train(recipe, out, resume=True, progress="none")
    assert weights(resumed.path) == weights(whole.path)
    assert timeless(resumed.history) == timeless(whole.history)


@pytest.mark.slow
def test_torchrun_starts_them_as_well(tmp_path: Path) -> None:
    """The command of docs/training.md, for two processes on one machine."""
    arguments = ["-m", "treadle", "train", "characters", "--out", str(tmp_path / "run"), "--json"]
    for change in characters(tmp_path, "training.epochs=1", "training.devices=2"):
        arguments += ["--set", change]
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run([*launch, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)  # one document: only the first process speaks
    alone = train(
        load_recipe("characters", characters(tmp_path, "training.epochs=1", "training.devices=2")),
        tmp_path / "started",
        progress="none",
    )
    assert weights(tmp_path / "run") == weights(alone.path)
    assert timeless(said["history"]) == timeless(alone.history)
    assert np.isfinite(said["history"][0]["train_loss"])


@pytest.mark.slow
def test_two_machines_find_each_other(tmp_path: Path) -> None:
    """Both are this one, but they know of each other by the environment only."""
    arguments = ["train", "characters", "--out", str(tmp_path / "run")]
    for change in characters(tmp_path, "training.epochs=1", "training.num_nodes=2"):
        arguments += ["--set", change]
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port())}
    machines = [
        subprocess.Popen(
            [sys.executable, "-m", "treadle", *arguments],
            env={**os.environ, **meeting, "NODE_RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    for machine in machines:
        _, said = machine.communicate()
        assert machine.returncode == 0, said
    recipe = load_recipe("characters", characters(tmp_path, "training.epochs=1"))
    alone = train(recipe, tmp_path / "alone", progress="none")
    both = json.loads((tmp_path / "run" / "run.json").read_text())
    assert both["processes"] == 2
    assert both["history"][0]["step"] == alone.history[0]["step"]
