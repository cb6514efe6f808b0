"""The optimization that recipes can ask for; what is exact to the bit, and what to rounding."""

from __future__ import annotations

import json
import math
import signal
import subprocess
import sys
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.train.resuming import KILLED, characters, timeless, weights
from tests.train.tiny import tiny_transducer, tiny_words
from treadle.errors import RecipeError
from treadle_train.catalogue import load_recipe
from treadle_train.fine_tuning import FineTuning
from treadle_train.modules.averaging import WeightAverage
from treadle_train.modules.base import TaskModule
from treadle_train.modules.optimization import make_optimizer, make_schedule, schedule_state
from treadle_train.modules.transduction import TransducerModule
from treadle_train.tasks.transduction import Transduction
from treadle_train.training import _Sized, train

if TYPE_CHECKING:
    from pathlib import Path

PRACTICE = {
    "constant": ["training.schedule=constant"],
    "cosine": ["training.schedule=cosine"],
    "plateau": ["training.schedule=plateau", "training.plateau_patience=0"],
    "accumulate": ["training.accumulate=2"],
    "clip value": ["training.clip_value=0.01"],
    "weight decay": ["training.weight_decay=0.1"],
    "average": ["training.average=0.9"],
    "scheduled sampling": ["training.scheduled_sampling=0.5"],
    "variational": ["network.variational_dropout=true"],
}


class CrashError(Exception):
    """As sudden as a power cut: nothing is written any more."""


def crash_at(monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    step = TaskModule.training_step

    def crashing(self: TaskModule[Any], batch: Any, index: int) -> Any:
        if self.position.step == at:
            raise CrashError
        return step(self, batch, index)

    monkeypatch.setattr(TaskModule, "training_step", crashing)


@pytest.fixture
def gradients(monkeypatch: pytest.MonkeyPatch) -> list[list[torch.Tensor]]:
    """Every gradient that an optimizer is given while the test runs."""
    seen = []
    prepare = TaskModule.on_before_optimizer_step

    def noted(self: TaskModule[Any], optimizer: torch.optim.Optimizer) -> None:
        prepare(self, optimizer)
        seen.append([p.grad.clone() for p in self.network.parameters() if p.grad is not None])

    monkeypatch.setattr(TaskModule, "on_before_optimizer_step", noted)
    return seen


@pytest.mark.parametrize(
    "names",
    [
        ("constant", "accumulate", "clip value"),
        ("cosine", "weight decay", "average"),
        ("plateau", "scheduled sampling", "variational"),
    ],
)
@pytest.mark.usefixtures("tiny_data")
def test_a_crash_and_a_resumption_end_in_the_same_weights(
    names: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = [change for name in names for change in PRACTICE[name]]
    recipe = tiny_transducer("training.epochs=2", *changes)
    whole = train(recipe, tmp_path / "whole", progress="none")
    with monkeypatch.context() as patch:
        crash_at(patch, 19)
        with pytest.raises(CrashError):
            train(recipe, tmp_path / "broken", progress="none")
    state = json.loads((tmp_path / "broken" / "checkpoint" / "latest.json").read_text())["state"]
    assert 0 < state["position"]["step"] < 19
    resumed = train(recipe, tmp_path / "broken", resume=True, progress="none")
    assert weights(resumed.path) == weights(whole.path)
    assert timeless(resumed.history) == timeless(whole.history)


def test_kill_9_with_all_of_it_and_resume_ends_in_the_same_weights(tmp_path: Path) -> None:
    chosen = ("plateau", "accumulate", "clip value", "weight decay", "average", "variational")
    changes = characters(tmp_path, *(key for name in chosen for key in PRACTICE[name]))
    recipe = load_recipe("characters", changes)
    whole = train(recipe, tmp_path / "whole", progress="none")
    broken = tmp_path / "broken"
    arguments = ["characters", "--out", str(broken)]
    for change in changes:
        arguments += ["--set", change]
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, *arguments], capture_output=True, text=True, check=False
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    state = json.loads((broken / "checkpoint" / "latest.json").read_text())["state"]
    assert state["position"]["batch"] > 0  # within an epoch
    resumed = train(recipe, broken, resume=True, progress="none")
    assert weights(broken) == weights(whole.path)
    assert timeless(resumed.history) == timeless(whole.history)


@pytest.mark.parametrize("cuts", [(4, 7), (1, 2), (6, 11)])
@pytest.mark.usefixtures("tiny_data")
def test_batches_that_accumulate_are_one_large_batch(
    cuts: tuple[int, int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    gradients: list[list[torch.Tensor]],
) -> None:
    """Rows of many lengths in batches of unlike size: what counts is the symbol."""
    rows = np.arange(12) * 3

    def trained(name: str, parts: list[Any]) -> float:
        monkeypatch.setattr(Transduction, "steps_per_epoch", lambda _self: len(parts))
        monkeypatch.setattr(
            Transduction,
            "train_batches",
            lambda self, *_: _Sized([self.pairs.batch(p) for p in parts]),
        )
        changes = ["dropout=0", "embedding_dropout=0"]
        recipe = tiny_transducer(
            *(f"network.{change}" for change in changes),
            "training.epochs=1",
            f"training.accumulate={len(parts)}",
            "training.gradient_clip=0",
        )
        return train(recipe, tmp_path / name, progress="none").history[0]["train_loss"]

    losses = trained("large", [rows]), trained("small", np.split(rows, cuts))
    assert len(gradients) == 2  # one step each
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
    for large, small in zip(*gradients, strict=True):
        torch.testing.assert_close(small, large, rtol=1e-4, atol=1e-6)


@pytest.mark.usefixtures("tiny_data")
def test_the_last_batches_of_an_epoch_step_and_the_schedule_ends_where_it_should(
    tmp_path: Path, gradients: list[list[torch.Tensor]]
) -> None:
    rates = []
    for accumulate in (1, 5):
        gradients.clear()
        recipe = tiny_transducer(f"training.accumulate={accumulate}", "training.epochs=2")
        run = train(recipe, tmp_path / str(accumulate), progress="none")
        batches = int(run.history[0]["step"])
        assert batches % 5  # some are left over
        assert len(gradients) == 2 * -(-batches // accumulate)
        rates.append(run.history[-1]["learning_rate"])
    assert rates[1] == pytest.approx(rates[0])


@pytest.mark.usefixtures("tiny_data")
def test_values_are_clipped_before_the_norm(
    tmp_path: Path, gradients: list[list[torch.Tensor]]
) -> None:
    recipe = tiny_transducer(
        "training.clip_value=0.001", "training.gradient_clip=0.005", "training.epochs=1"
    )
    train(recipe, tmp_path / "run", progress="none")
    for step in gradients:
        assert max(float(g.abs().max()) for g in step) <= 0.001
        assert math.hypot(*(float(g.norm()) for g in step)) <= 0.005 * 1.0001


@pytest.mark.parametrize("schedule", ["one-cycle", "constant", "cosine"])
def test_the_rate_follows_its_schedule(schedule: str) -> None:
    section = tiny_transducer(
        f"training.schedule={schedule}", "training.learning_rate=0.5", "training.warmup=0.2"
    ).training
    optimizer = make_optimizer(nn.Linear(2, 2), section)
    curve = make_schedule(optimizer, section, 20)
    rates = []
    for _ in range(20):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        curve.step()
    assert max(rates) == pytest.approx(0.5, rel=0.01)
    assert all(a < b for a, b in pairwise(rates[:4]))  # warming up
    if schedule == "constant":
        assert rates[4:] == [0.5] * 16
    else:
        assert all(a >= b for a, b in pairwise(rates[4:]))
        assert optimizer.param_groups[0]["lr"] < 0.001
    json.dumps(schedule_state(curve), allow_nan=False)


@pytest.mark.usefixtures("tiny_data")
@pytest.mark.parametrize(
    ("metric", "values"),
    [("word_error_rate", [9.0, 8.0, 8.5, 8.5, 8.5, 7.0]), ("accuracy", [1.0, 2, 1.5, 1.5, 1.5, 3])],
)
def test_a_plateau_lowers_the_rate_when_the_figure_stays(
    metric: str, values: list[float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether less of it is better, or more."""
    figures = iter(values)
    state: dict[str, float] = {}

    def start(_self: TransducerModule) -> None:
        state[metric] = next(figures)
        state.setdefault("word_error_rate", 0.0)
        state["loss"] = 1.0

    monkeypatch.setattr(TransducerModule, "on_validation_epoch_start", start)
    monkeypatch.setattr(TransducerModule, "figures", lambda _self: dict(state))
    monkeypatch.setattr(TransducerModule, "validation_step", lambda *_: None)
    recipe = tiny_transducer(
        "training.schedule=plateau",
        "training.plateau_patience=1",
        "training.plateau_factor=0.1",
        "training.learning_rate=0.01",
        "training.epochs=6",
    )
    run = train(recipe, tmp_path / "run", progress="none")
    rates = [row["learning_rate"] for row in run.history]
    assert rates == pytest.approx([0.01, 0.01, 0.01, 0.001, 0.001, 0.001])


def test_weight_decay_is_of_matrices_alone() -> None:
    section = tiny_transducer("training.weight_decay=0.5", "training.learning_rate=0.1").training
    layer = nn.Linear(3, 2)
    before = [p.detach().clone() for p in layer.parameters()]
    optimizer = make_optimizer(layer, section)
    for parameter in layer.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    torch.testing.assert_close(layer.weight.detach(), before[0] * (1 - 0.1 * 0.5))
    assert torch.equal(layer.bias, before[1])
    assert type(make_optimizer(layer, tiny_transducer().training)) is torch.optim.Adam


@pytest.mark.usefixtures("tiny_data")
def test_the_average_of_weights_is_validated_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[dict[str, torch.Tensor]] = []
    update = WeightAverage.update

    def noted(self: WeightAverage) -> None:
        update(self)
        steps.append({n: p.detach().clone() for n, p in self.network.named_parameters()})

    monkeypatch.setattr(WeightAverage, "update", noted)
    recipe = tiny_transducer("training.average=0.6", "training.epochs=1")
    run = train(recipe, tmp_path / "run", progress="none")
    assert len(steps) == run.history[0]["step"] > 10
    for name, kept in run.network.named_parameters():
        average = steps[0][name].double()
        for count, step in enumerate(steps[1:], start=1):
            decay = min(0.6, (1 + count) / (10 + count))
            average = decay * average + (1 - decay) * step[name].double()
        torch.testing.assert_close(kept.detach(), average.float())
        assert not torch.equal(kept, steps[-1][name])
    task = Transduction(run.recipe, tiny_words())  # type: ignore[arg-type]
    module = TransducerModule(run.network, run.recipe, 10, task.target).eval()  # type: ignore[arg-type]
    with torch.no_grad():
        losses = [module.loss(pairs) for pairs, _ in task.validation_batches() if pairs]
    mean = sum(float(loss) * n for loss, n in losses) / sum(n for _, n in losses)
    assert run.history[0]["validation_loss"] == pytest.approx(mean, rel=1e-6)


def test_an_average_of_rounded_weights_is_refused(tmp_path: Path) -> None:
    recipe = tiny_transducer("training.average=0.9")
    with pytest.raises(RecipeError, match=r"is not rounded; set training\.average=0"):
        FineTuning("int4").check(recipe, tmp_path / "run")


def test_only_transducers_read_their_own_symbols() -> None:
    with pytest.raises(RecipeError, match=r"no recipe key 'training\.scheduled_sampling'"):
        load_recipe("characters", ["training.scheduled_sampling=0.5"])


@pytest.mark.usefixtures("tiny_data")
def test_a_run_from_before_a_key_was_there_is_resumed(tmp_path: Path) -> None:
    recipe = tiny_transducer("training.epochs=1")
    train(recipe, tmp_path / "run", progress="none")
    document = json.loads((tmp_path / "run" / "run.json").read_text())
    del document["recipe"]["training"]["average"], document["recipe"]["network"]["residual"]
    (tmp_path / "run" / "run.json").write_text(json.dumps(document))
    train(recipe, tmp_path / "run", resume=True, progress="none")
