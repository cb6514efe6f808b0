"""Fine-tuning for 4 bits: from a run to a run, interrupted or not, and what it refuses."""

from __future__ import annotations

import json
import math
import os
import signal
from typing import TYPE_CHECKING, Any

import pytest
import torch
from click.testing import CliRunner
from torch import Tensor

from tests.train.tiny import TEXT, TINY_CHARACTERS
from treadle.errors import RecipeError
from treadle_train import cli
from treadle_train.catalogue import load_recipe
from treadle_train.distillation import distillation_loss
from treadle_train.fine_tuning import FineTuning, short_schedule
from treadle_train.modules.base import TaskModule
from treadle_train.networks import LanguageModel
from treadle_train.quantization.fake import FakeQuantization
from treadle_train.run import load_run
from treadle_train.tasks import open_task
from treadle_train.training import train

if TYPE_CHECKING:
    from pathlib import Path

    from treadle_train.recipe import Recipe
    from treadle_train.run import Run


pytestmark = pytest.mark.xdist_group("fine-tuning")  # one run to start from, and one tuned


@pytest.fixture(scope="module")
def changes(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    text = tmp_path_factory.mktemp("text") / "text.txt"
    text.write_text(TEXT)
    changes = [*TINY_CHARACTERS, f"data.options.path={text}", "network.dropout=0.3"]
    return [*changes, "training.epochs=2"]


@pytest.fixture(scope="module")
def recipe(changes: list[str]) -> Recipe:
    return load_recipe("characters", changes)


@pytest.fixture(scope="module")
def start(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(recipe, tmp_path_factory.mktemp("start") / "run", progress="none")


@pytest.fixture(scope="module")
def tuned(recipe: Recipe, start: Run, tmp_path_factory: pytest.TempPathFactory) -> Run:
    out = tmp_path_factory.mktemp("tuned") / "run"
    return train(recipe, out, fine_tuning=FineTuning("int4", start), progress="none")


def document(run: Run) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((run.path / "run.json").read_text())
    return read


def validated(run: Run) -> float:
    """Bits per character of a run's network on the validation split."""
    module = open_task(run.recipe, run.dataset()).new_module()
    module.network.load_state_dict(run.network.state_dict())
    module.eval()
    module.on_validation_epoch_start()
    with torch.no_grad():
        for batch in open_task(run.recipe, run.dataset()).validation_batches():
            module.validation_step(batch, 0)
    return next(iter(module.figures().values()))


def test_what_was_validated_is_what_the_run_holds(start: Run, tuned: Run) -> None:
    found = tuned.fine_tuned
    assert found is not None
    assert start.fine_tuned is None
    assert found.precision == "int4"
    assert found.metric == "bits_per_character"
    assert found.float32 == document(start)["best"]["value"]
    assert found.rounded is not None
    assert found.rounded == document(tuned)["best"]["value"]
    assert found.rounded is not None
    assert math.isclose(validated(tuned), found.rounded, rel_tol=1e-9)
    rounding = FakeQuantization(tuned.network, "int4")
    assert sorted(found.scales) == list(rounding.blocks)
    rounding.restore(found.scales)
    for name, weights in rounding.rounded().items():  # rounded already
        assert torch.equal(weights, tuned.network.get_parameter(name)), name


def test_it_learns_the_answers_of_the_other_run_and_leaves_that_alone(
    recipe: Recipe, start: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {name: value.clone() for name, value in start.network.state_dict().items()}
    taught: list[Tensor] = []

    def watched(logits: Tensor, answers: Tensor, counted: Tensor) -> Tensor:
        taught.append(answers)
        return distillation_loss(logits, answers, counted)

    monkeypatch.setattr("treadle_train.modules.language_modelling.distillation_loss", watched)
    train(recipe, tmp_path / "run", fine_tuning=FineTuning("int4", start), progress="none")
    for name, value in start.network.state_dict().items():
        assert torch.equal(value, before[name]), name
    task = open_task(recipe, start.dataset())
    assert isinstance(start.network, LanguageModel)
    carried = start.network.initial_state(recipe.batching.batch_size)
    with torch.no_grad():
        for batch, answers in zip(task.train_batches(0, 0), taught, strict=False):
            logits, carried = start.network.sequence(batch.inputs, None, carried)
            assert torch.equal(answers, logits)


def test_it_starts_from_the_weights_of_the_other_run(start: Run, tuned: Run) -> None:
    first, again = (run.history[0]["validation_loss"] for run in (start, tuned))
    assert again < first
    described = document(tuned)["quantization"]
    assert described["from"]["name"] == "characters"
    assert described["from"]["weights"].startswith("sha256:")
    assert "quantization" not in document(start)


@pytest.mark.parametrize("goes_on", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_ctrl_c_and_resuming_end_in_the_same_weights(
    recipe: Recipe,
    start: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    goes_on: bool,
) -> None:
    # Between two searches, so that a resumed run needs the scales that the checkpoint kept.
    monkeypatch.setattr("treadle_train.callbacks.rounder.SEARCH_STEPS", 4)
    stop_at = 5
    tuning = FineTuning("int4", start if goes_on else None)
    whole = train(recipe, tmp_path / "whole", fine_tuning=tuning, progress="none")
    step = TaskModule.training_step

    def interrupted(self: TaskModule[Any], batch: Any, index: int) -> Any:
        if self.position.step == stop_at:
            os.kill(os.getpid(), signal.SIGINT)
        return step(self, batch, index)

    broken = tmp_path / "broken"
    with monkeypatch.context() as patch:
        patch.setattr(TaskModule, "training_step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(recipe, broken, fine_tuning=tuning, progress="none")
    state = json.loads((broken / "checkpoint" / "latest.json").read_text())["state"]
    assert state["position"]["step"] == stop_at + 1
    train(recipe, broken, resume=True, fine_tuning=tuning, progress="none")
    weights = [(path / "weights.safetensors").read_bytes() for path in (whole.path, broken)]
    assert weights[0] == weights[1]


@pytest.mark.parametrize(("goes_on", "searches"), [(True, [0]), (False, [0, 10, 20])])
def test_scales_of_trained_weights_hold_and_others_follow_for_half_of_the_training(
    recipe: Recipe,
    start: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    goes_on: bool,
    searches: list[int],
) -> None:
    monkeypatch.setattr("treadle_train.callbacks.rounder.SEARCH_STEPS", 10)
    steps, searched = [0], []
    step, search = TaskModule.training_step, FakeQuantization.search

    def stepped(self: TaskModule[Any], batch: Any, index: int) -> Any:
        steps.append(self.position.step + 1)
        return step(self, batch, index)

    def watched(self: FakeQuantization) -> None:
        searched.append(steps[-1])
        search(self)

    monkeypatch.setattr(TaskModule, "training_step", stepped)
    monkeypatch.setattr(FakeQuantization, "search", watched)
    tuning = FineTuning("int4", start if goes_on else None)
    train(recipe, tmp_path / "run", fine_tuning=tuning, progress="none")
    assert searched == searches


def test_training_without_a_start_rounds_from_the_first_step(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounded = []
    step = TaskModule.training_step

    def watched(self: TaskModule[LanguageModel], batch: Any, index: int) -> Any:
        assert self.rounding is not None
        name = "output.weight"
        weights, scale = self.network.get_parameter(name), self.rounding.scales[name]
        rounded.append(torch.equal((weights / scale).round() * scale, weights))
        return step(self, batch, index)

    monkeypatch.setattr(TaskModule, "training_step", watched)
    run = train(recipe, tmp_path / "run", fine_tuning=FineTuning("int4-fast"), progress="none")
    assert rounded
    assert all(rounded)
    assert run.fine_tuned is not None
    assert run.fine_tuned.precision == "int4-fast"
    assert run.fine_tuned.float32 is None
    assert run.history[-1]["train_loss"] < run.history[0]["train_loss"]


def test_what_is_refused(recipe: Recipe, start: Run, tuned: Run, changes: list[str]) -> None:
    with pytest.raises(RecipeError, match=r"to int4 or int4-block or int4-fast, got 'int3'\."):
        FineTuning("int3")
    tuning = FineTuning("int4", start)
    with pytest.raises(RecipeError, match="is what training starts from; train into another"):
        train(recipe, start.path, force=True, fine_tuning=tuning)
    wider = load_recipe("characters", [*changes, "network.cell=gru"])
    with pytest.raises(RecipeError, match=r"was trained with network = .*'lstm'.*same --set as"):
        train(wider, start.path.parent / "other", fine_tuning=tuning)
    with pytest.raises(RecipeError, match=r"another recipe: quantization was \{.*\}, is None"):
        train(recipe, tuned.path, resume=True)
    with pytest.raises(RecipeError, match=r"quantization\.precision was 'int4', is 'int4-fast'"):
        train(recipe, tuned.path, resume=True, fine_tuning=FineTuning("int4-fast", start))
    assert not (start.path.parent / "other").exists()


def test_another_vocabulary_is_refused(
    recipe: Recipe, start: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "treadle_train.training.open_dataset",
        lambda *_: tiny_text(start, TEXT.replace("q", "Q")),
    )
    with pytest.raises(RecipeError, match="knows other symbols than the data set has now"):
        train(recipe, tmp_path / "run", fine_tuning=FineTuning("int4", start))
    assert not (tmp_path / "run").exists()


def tiny_text(start: Run, text: str) -> Any:
    dataset = start.dataset()
    object.__setattr__(dataset, "splits", dict.fromkeys(dataset.splits, text))
    return dataset


def test_the_command_shortens_the_schedule_unless_told(
    changes: list[str], start: Run, tmp_path: Path
) -> None:
    arguments = [part for change in changes[:-1] for part in ("--set", change)]
    arguments += ["--quantize", "int4", "--from", str(start.path), "--set", "training.epochs=1"]
    out = tmp_path / "run"
    result = CliRunner().invoke(cli.train, ["characters", "--out", str(out), *arguments])
    assert result.exit_code == 0, result.output
    training = load_run(out).recipe.training
    assert training.epochs == 1
    assert training.learning_rate == 0.1 * load_recipe("characters").training.learning_rate
    assert "training.epochs=3" in short_schedule(load_recipe("shakespeare-lstm"))


def test_the_command_names_what_is_wrong(changes: list[str], tmp_path: Path) -> None:
    out = ["--out", str(tmp_path / "run")]
    result = CliRunner().invoke(cli.train, ["characters", *out, "--quantize", "int3"])
    assert isinstance(result.exception, RecipeError)
    assert "int4 or int4-block or int4-fast, got 'int3'" in str(result.exception)
    result = CliRunner().invoke(cli.train, ["characters", *out, "--from", "elsewhere"])
    assert result.exit_code == 2
    assert "--from goes with --quantize" in result.output
    assert not (tmp_path / "run").exists()


def test_the_command_to_resume_repeats_the_options(
    changes: list[str], start: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("treadle_train.training.train", interrupted)
    arguments = [part for change in changes for part in ("--set", change)]
    arguments += ["--quantize", "int4", "--from", str(start.path)]
    out = ["--out", str(tmp_path / "run")]
    result = CliRunner().invoke(cli.train, ["characters", *out, *arguments])
    assert result.exit_code == 130
    assert f"--quantize int4 --from {start.path} --resume" in result.stderr
