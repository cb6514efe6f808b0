"""A training whose numbers are no longer finite: it ends, says so, and spoils nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from click.testing import CliRunner

from tests.train.resuming import characters, timeless, weights
from tests.train.tiny import tiny_transducer
from treadle.errors import TrainingError
from treadle_train.catalogue import load_recipe
from treadle_train.checkpoint import read_checkpoint
from treadle_train.cli import train as command
from treadle_train.modules.base import TaskModule
from treadle_train.modules.transduction import TransducerModule
from treadle_train.training import train

if TYPE_CHECKING:
    from pathlib import Path

SPOILT_STEP = 19


def spoil_loss(patch: pytest.MonkeyPatch) -> None:
    loss = TransducerModule.loss

    def spoilt(self: TransducerModule, batch: Any) -> tuple[torch.Tensor, int]:
        value, symbols = loss(self, batch)
        bad = self.training and self.position.step == SPOILT_STEP
        return value * (torch.nan if bad else 1.0), symbols

    patch.setattr(TransducerModule, "loss", spoilt)


def spoil_gradient(patch: pytest.MonkeyPatch) -> None:
    prepare = TaskModule.on_before_optimizer_step

    def spoilt(self: TaskModule[Any], optimizer: torch.optim.Optimizer) -> None:
        gradient = next(self.network.parameters()).grad
        if gradient is not None and self.position.step == SPOILT_STEP:
            gradient.fill_(torch.inf)
        prepare(self, optimizer)

    patch.setattr(TaskModule, "on_before_optimizer_step", spoilt)


@pytest.mark.parametrize("clip", [0, 1])
@pytest.mark.parametrize(
    ("spoil", "named"),
    [(spoil_loss, "the loss is nan"), (spoil_gradient, "the norm of the gradient is")],
)
@pytest.mark.usefixtures("tiny_data")
def test_it_stops_before_the_step_and_resumes_from_before(
    spoil: Any, named: str, clip: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tiny_transducer(f"training.gradient_clip={clip}")
    whole = train(recipe, tmp_path / "whole", progress="none")
    broken = tmp_path / "broken"
    with monkeypatch.context() as patch:
        spoil(patch)
        with pytest.raises(TrainingError, match=f"at step {SPOILT_STEP} {named}") as caught:
            train(recipe, broken, progress="none")
    assert "at a learning rate of 0.00" in str(caught.value)
    assert "Try a third of training.learning_rate" in str(caught.value)
    checkpoint = read_checkpoint(broken / "checkpoint")
    assert checkpoint is not None
    assert all(t.isfinite().all() for g in checkpoint.tensors.values() for t in g.values())
    resumed = train(recipe, broken, resume=True, progress="none")
    assert weights(resumed.path) == weights(whole.path)
    assert timeless(resumed.history) == timeless(whole.history)


@pytest.mark.parametrize("every", [1, 3])
def test_an_absurd_learning_rate_leaves_nothing_that_is_not_finite(
    every: int, tmp_path: Path
) -> None:
    changes = ["training.learning_rate=1e38", f"training.checkpoint_steps={every}"]
    recipe = load_recipe("characters", characters(tmp_path, *changes, "training.schedule=constant"))
    with pytest.raises(TrainingError, match="Training has diverged: at step"):
        train(recipe, tmp_path / "run", progress="none")
    assert not (tmp_path / "run" / "weights.safetensors").exists()
    checkpoint = read_checkpoint(tmp_path / "run" / "checkpoint")
    if checkpoint is not None:
        assert all(t.isfinite().all() for t in checkpoint.tensors["network"].values())


@pytest.mark.usefixtures("tiny_data")
def test_a_validation_that_is_not_finite_is_no_best_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tiny_transducer()
    figures = TransducerModule.figures

    def spoilt(self: TransducerModule) -> dict[str, float]:
        return figures(self) | ({"loss": torch.inf} if self.position.epoch == 1 else {})

    with monkeypatch.context() as patch:
        patch.setattr(TransducerModule, "figures", spoilt)
        with pytest.raises(TrainingError, match="validation loss is inf"):
            train(recipe, tmp_path / "run", progress="none")
    kept = weights(tmp_path / "run")
    first = train(tiny_transducer("training.epochs=3"), tmp_path / "whole", progress="none")
    resumed = train(recipe, tmp_path / "run", resume=True, progress="none")
    assert len(resumed.history) == 3
    assert weights(resumed.path) == weights(first.path)
    assert kept


def test_the_command_reports_it(tmp_path: Path) -> None:
    arguments = ["characters", "--out", str(tmp_path / "run")]
    for change in characters(tmp_path, "training.learning_rate=1e38", "training.schedule=constant"):
        arguments += ["--set", change]
    result = CliRunner().invoke(command, arguments)
    assert isinstance(result.exception, TrainingError)
