"""Whole trainings, tiny: what they leave behind, and that interruption changes nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import torch

from tests.train.resuming import KILLED, characters, timeless, weights
from tests.train.tiny import TEXT, tiny_transducer
from treadle.errors import DataError, RecipeError
from treadle_train import mixed_precision, training
from treadle_train.catalogue import load_recipe
from treadle_train.cells import CELLS
from treadle_train.curve import write_curve
from treadle_train.modules.base import TaskModule
from treadle_train.networks import Transducer
from treadle_train.run import load_run
from treadle_train.training import train

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.usefixtures("tiny_data")
def test_a_run_holds_everything_that_comes_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("treadle_train.callbacks.recorder.write_curve", write_curve)
    out = tmp_path / "run"
    run = train(tiny_transducer("training.epochs=12", "training.learning_rate=0.03"), out)
    assert sorted(file.name for file in out.iterdir()) == [
        "checkpoint",
        "curve.png",
        "history.csv",
        "report.md",
        "run.json",
        "vocabularies",
        "weights.safetensors",
    ]
    document = json.loads((out / "run.json").read_text())
    assert document["finished"]
    assert document["data"]["digest"] == run.provenance["data"] == "sha256:tiny"
    assert document["seed"] == 0
    assert set(document["versions"]) == {"treadle", "python", "torch", "lightning", "numpy"}
    assert len(document["history"]) == 12
    assert document["best"]["value"] == min(
        row["validation_word_error_rate"] for row in document["history"]
    )
    assert run.history[-1]["train_loss"] < 0.6 * run.history[0]["train_loss"]
    assert document["best"]["value"] < 50  # it learns the made-up language
    assert (out / "history.csv").read_text().startswith("epoch,step,seconds,learning_rate,")
    assert (out / "curve.png").read_bytes().startswith(b"\x89PNG")
    assert run.decoding == {
        "start": 1,
        "end": 2,
        "max_length": 40,
        "beam": 1,
        "length_penalty": 0.6,
        "lowercase": False,
        "lowercase_output": False,
    }
    assert run.evaluation["metric"] == "word_error_rate"
    assert not run.network.training


@pytest.mark.usefixtures("tiny_data")
def test_the_same_recipe_gives_the_same_weights_and_another_seed_others(tmp_path: Path) -> None:
    runs = [tmp_path / name for name in "abc"]
    for run, seed in zip(runs, (4, 4, 5), strict=True):
        torch.rand(seed)  # the caller's random state has no influence
        train(tiny_transducer(f"training.seed={seed}", "training.epochs=1"), run)
    assert weights(runs[0]) == weights(runs[1]) != weights(runs[2])


@pytest.mark.parametrize("stop_at", [3, 8, 19])
@pytest.mark.usefixtures("tiny_data")
def test_ctrl_c_keeps_a_checkpoint_and_resuming_gives_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop_at: int
) -> None:
    whole = train(tiny_transducer(), tmp_path / "whole")
    step = TaskModule.training_step

    def interrupted(self: TaskModule[Any], batch: Any, index: int) -> Any:
        if self.position.step == stop_at:
            os.kill(os.getpid(), signal.SIGINT)
        return step(self, batch, index)

    with monkeypatch.context() as patch:
        patch.setattr(TaskModule, "training_step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(tiny_transducer(), tmp_path / "broken")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    state = json.loads((tmp_path / "broken" / "checkpoint" / "latest.json").read_text())["state"]
    assert state["position"]["step"] == stop_at + 1
    resumed = train(tiny_transducer(), tmp_path / "broken", resume=True)
    assert weights(resumed.path) == weights(whole.path)
    assert timeless(resumed.history) == timeless(whole.history)


def test_kill_9_within_an_epoch_and_resume_ends_in_the_same_weights(tmp_path: Path) -> None:
    changes = characters(tmp_path)
    recipe = load_recipe("characters", changes)
    whole = train(recipe, tmp_path / "whole")
    broken = tmp_path / "broken"
    arguments = ["characters", "--out", str(broken)]
    for change in changes:
        arguments += ["--set", change]
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, *arguments], capture_output=True, text=True, check=False
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    state = json.loads((broken / "checkpoint" / "latest.json").read_text())["state"]
    assert state["position"]["step"] == 21  # the last multiple of checkpoint_steps
    assert state["position"]["batch"] > 0  # within an epoch, with a state to carry
    resumed = train(recipe, broken, resume=True)
    assert weights(broken) == weights(whole.path)
    assert timeless(resumed.history) == timeless(whole.history)


def test_resuming_what_has_finished_or_not_begun_trains_what_is_left(tmp_path: Path) -> None:
    recipe = load_recipe("characters", characters(tmp_path, "training.epochs=1"))
    first = train(recipe, tmp_path / "run", resume=True)
    before = weights(first.path)
    again = train(recipe, tmp_path / "run", resume=True)
    assert weights(again.path) == before
    assert again.history == first.history


def test_patience_ends_a_training_that_does_not_improve(tmp_path: Path) -> None:
    changes = ["training.patience=2", "training.epochs=40", "training.learning_rate=10"]
    run = train(load_recipe("characters", characters(tmp_path, *changes)), tmp_path / "run")
    figures = [row["validation_bits_per_character"] for row in run.history]
    assert len(figures) < 40
    assert figures.index(min(figures)) == len(figures) - 3
    resumed = train(run.recipe, tmp_path / "run", resume=True)
    assert resumed.history == run.history


def test_a_directory_in_the_way_is_an_error(tmp_path: Path) -> None:
    recipe = load_recipe("characters", characters(tmp_path, "training.epochs=1"))
    out = tmp_path / "run"
    train(recipe, out)
    with pytest.raises(RecipeError, match="is in the way; continue it with --resume, replace it"):
        train(recipe, out)
    other = load_recipe("characters", characters(tmp_path, "training.epochs=2"))
    with pytest.raises(RecipeError, match=r"another recipe: training\.epochs was 1, is 2\. Resume"):
        train(other, out, resume=True)
    train(other, out, force=True)
    assert len(load_run(out).history) == 2
    (out / "run.json").unlink()
    with pytest.raises(RecipeError, match="is no run, so --force does not replace it"):
        train(recipe, out, force=True)


def test_a_directory_that_is_no_run_or_is_damaged_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"is no run: it has no run\.json"):
        load_run(tmp_path)
    recipe = load_recipe("characters", characters(tmp_path, "training.epochs=1"))
    out = tmp_path / "run"
    train(recipe, out)
    document = json.loads((out / "run.json").read_text())
    whole = weights(out)
    (out / "weights.safetensors").write_bytes(whole[:100])
    with pytest.raises(DataError, match="is damaged"):
        load_run(out)
    (out / "weights.safetensors").unlink()
    with pytest.raises(DataError, match="has no weights yet"):
        load_run(out)
    (out / "weights.safetensors").write_bytes(whole)
    (out / "run.json").write_text(json.dumps(document | {"format": "treadle-run/2"}))
    with pytest.raises(DataError, match="update treadle if it is a later one"):
        load_run(out)
    (out / "run.json").write_text(json.dumps(document))
    (tmp_path / "text.txt").write_text(TEXT + "more")
    with pytest.raises(DataError, match="get that edition back, or train again"):
        load_run(out).dataset()


def test_a_data_set_that_does_not_fit_the_task_is_an_error(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text(TEXT)
    table = tiny_transducer("data.name=text", f"data.options={{path = {str(text)!r}}}")
    with pytest.raises(DataError, match="Transduction needs pairs of a source and its targets"):
        train(table, tmp_path / "run")
    with pytest.raises(DataError, match="data set called"):
        train(tiny_transducer("data.name=texts"), tmp_path / "other")


def test_training_leaves_torch_as_it_was(tmp_path: Path) -> None:
    threads, state = torch.get_num_threads(), torch.random.get_rng_state()
    recipe = load_recipe("characters", characters(tmp_path, "training.epochs=1"))
    train(recipe, tmp_path / "run", progress="none")
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.random.get_rng_state(), state)
    assert training._cores() >= 1


@pytest.mark.usefixtures("tiny_data")
@pytest.mark.parametrize("cell", CELLS)
def test_bfloat16_is_for_training_steps_only(
    cell: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mixed_precision, "_capabilities", lambda: {"avx512_bf16": True})
    seen: dict[bool, set[torch.dtype]] = {True: set(), False: set()}
    sequence = Transducer.sequence

    def noted(self: Transducer, *inputs: Any) -> Any:
        logits, state = sequence(self, *inputs)
        seen[self.training].add(logits.dtype)
        return logits, state

    monkeypatch.setattr(Transducer, "sequence", noted)
    recipe = tiny_transducer("training.precision=bfloat16", f"network.cell={cell}")
    runs = [train(recipe, tmp_path / name) for name in "ab"]
    assert seen == {True: {torch.bfloat16}, False: {torch.float32}}
    assert weights(runs[0].path) == weights(runs[1].path)
    assert {p.dtype for p in runs[0].network.parameters()} == {torch.float32}
    assert json.loads((tmp_path / "a" / "run.json").read_text())["precision"] == "bfloat16"
    assert runs[0].history[-1]["train_loss"] < runs[0].history[0]["train_loss"]


@pytest.mark.usefixtures("tiny_data")
def test_a_processor_without_bfloat16_trains_in_float32_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(mixed_precision, "_capabilities", dict)
    asked = train(tiny_transducer("training.precision=bfloat16"), tmp_path / "asked")
    assert "no instructions for bfloat16" in caplog.text
    plain = train(tiny_transducer(), tmp_path / "plain")
    assert weights(asked.path) == weights(plain.path)
    assert json.loads((tmp_path / "asked" / "run.json").read_text())["precision"] == "float32"
