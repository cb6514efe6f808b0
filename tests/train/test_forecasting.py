"""Forecasting: padding and cuts change nothing, lanes give what follows, levels, errors."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.train.labelled import labelled_dataset, sentences
from tests.train.resuming import timeless, weights
from tests.train.series import SEASON, series_dataset, tiny_forecaster, waves
from treadle.data import open_dataset
from treadle.errors import DataError, RecipeError
from treadle.tolerances import tolerance
from treadle_train.batching.series_lanes import SeriesLanes
from treadle_train.evaluation import evaluate_run
from treadle_train.modules.base import TaskModule
from treadle_train.modules.forecasting import ForecasterModule, errors_of, forecasts_of
from treadle_train.networks import Forecaster
from treadle_train.recipe import ForecasterRecipe
from treadle_train.tasks import Forecasting, open_task
from treadle_train.training import train

if TYPE_CHECKING:
    from pathlib import Path

SAME = tolerance("torch step", "float32").absolute
LENGTHS = st.lists(st.integers(0, 9), min_size=1, max_size=5)


def network(relative_to: str = "last", quantiles: int = 2, channels: int = 2) -> Forecaster:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        made = Forecaster(channels, channels - 1, 7, quantiles, 10, 2, "gru", 4, relative_to)
        torch.nn.init.normal_(made.output.weight)
        made.normalization.measure(torch.randn(50, channels) * 3 + 10)
    return made.eval()


def frames(rows: int, time: int, seed: int, channels: int = 2) -> torch.Tensor:
    return torch.randn(rows, time, channels, generator=torch.Generator().manual_seed(seed)) + 9


@pytest.mark.parametrize("relative_to", ["last", "season"])
@given(lengths=LENGTHS, seed=st.integers(0, 99))
@settings(max_examples=15, deadline=None)
def test_a_padded_sequence_is_its_steps(relative_to: str, lengths: list[int], seed: int) -> None:
    made, x = network(relative_to), frames(len(lengths), 9, seed)
    with torch.no_grad():
        outputs, final = made.sequence(x, torch.tensor(lengths), made.initial_state(len(lengths)))
        for row, length in enumerate(lengths):
            state = made.initial_state(1)
            for time in range(length):
                ahead, state = made.step(x[row : row + 1, time], state)
                assert torch.allclose(outputs[row, time], ahead[0], atol=10 * SAME)
            assert not outputs[row, length:].any()
            for name, value in state.items():
                assert torch.allclose(final[name][row], value[0], atol=SAME), name


@given(cuts=st.lists(st.integers(1, 29), max_size=5, unique=True), seed=st.integers(0, 99))
@settings(max_examples=15, deadline=None)
def test_parts_are_the_whole(cuts: list[int], seed: int) -> None:
    made, x = network(), frames(2, 30, seed)
    with torch.no_grad():
        whole, end = made.sequence(x, None, made.initial_state(2))
        state, parts = made.initial_state(2), []
        for first, last in pairwise([0, *sorted(cuts), 30]):
            part, state = made.sequence(x[:, first:last], None, state)
            parts.append(part)
    assert torch.allclose(torch.cat(parts, dim=1), whole, atol=10 * SAME)
    assert all(torch.allclose(state[name], end[name], atol=SAME) for name in end)


def test_before_training_a_forecast_is_its_reference() -> None:
    x = frames(1, 9, 0)
    for relative_to in ("last", "season"):
        made = network(relative_to, quantiles=1)
        torch.nn.init.zeros_(made.output.weight)
        torch.nn.init.zeros_(made.output.bias)
        with torch.no_grad():
            ahead = made.sequence(x, None, made.initial_state(1))[0][0, -1]
        places = [8] * 7 if relative_to == "last" else [5, 6, 7, 8, 5, 6, 7]
        assert torch.allclose(ahead, x[0, places, 1], atol=1e-5)


@given(rise=st.floats(-500, 500), seed=st.integers(0, 99))
@settings(max_examples=15, deadline=None)
def test_another_level_moves_the_forecast_and_nothing_else(rise: float, seed: int) -> None:
    made, x = network(), frames(1, 12, seed)
    with torch.no_grad():
        _, state = made.sequence(x[:, :4], None, made.initial_state(1))
        recurrent = {n: torch.zeros_like(v) for n, v in state.items() if n != "history"}
        moved = {"history": state["history"] + rise / made.normalization.deviation.repeat(4)}
        here, _ = made.sequence(x[:, 4:], None, state | recurrent)
        there, _ = made.sequence(x[:, 4:] + rise, None, moved | recurrent)
    assert torch.allclose(here + rise, there, atol=1e-5 * (abs(rise) + 100))


@given(
    length=st.integers(12, 90),
    lanes=st.integers(1, 6),
    steps=st.integers(1, 9),
    ahead=st.integers(1, 11),
    epoch=st.integers(0, 3),
)
@settings(max_examples=60, deadline=None)
def test_lanes_give_every_frame_what_follows_it(
    length: int, lanes: int, steps: int, ahead: int, epoch: int
) -> None:
    series = torch.stack([torch.arange(length) * 1.0, torch.arange(length) + 1000.0], dim=1)
    cut = SeriesLanes(series, 1, ahead, lanes, steps, seed=3, epoch=epoch)
    batches = list(cut)
    assert len(batches) == len(cut)
    assert [batch.fresh for batch in batches] == [True] + [False] * (len(batches) - 1)
    together = torch.cat([batch.frames for batch in batches], dim=1)[..., 0]
    assert torch.equal(together[:, 1:], together[:, :-1] + 1)  # the state can be carried
    for batch in batches:
        expected = batch.frames[..., 1:] + 1 + torch.arange(ahead)
        assert torch.equal(batch.targets, expected)
    for ours, again in zip(batches[1:], replace(cut, first=1), strict=True):
        assert torch.equal(ours.frames, again.frames)


@pytest.mark.parametrize("quantiles", ["[]", "[0.5]", "[0.1, 0.5, 0.9]"])
def test_the_state_is_carried_from_batch_to_batch(quantiles: str) -> None:
    recipe = tiny_forecaster(f"network.quantiles={quantiles}", "network.dropout=0")
    task = open_task(recipe, series_dataset(waves(2000)))
    module = task.new_module()
    assert isinstance(module, ForecasterModule)
    torch.nn.init.normal_(module.network.output.weight, std=0.1)
    batches = list(task.train_batches(0, 0))
    with torch.no_grad():
        parts = [module.loss(batch) for batch in batches]
        whole, count = module.loss(
            batches[0]._replace(
                frames=torch.cat([batch.frames for batch in batches], dim=1),
                targets=torch.cat([batch.targets for batch in batches], dim=1),
            )
        )
    assert sum(number for _, number in parts) == count
    mean = sum(float(loss) * number for loss, number in parts) / count
    assert mean == pytest.approx(float(whole), rel=1e-4)
    assert count == batches[0].frames.shape[0] * (
        sum(batch.frames.shape[1] for batch in batches) - SEASON + 1
    )


def test_quantiles_hold_their_shares(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = series_dataset(waves(5000))
    for module in ("treadle_train.training", "treadle_train.run"):
        monkeypatch.setattr(f"{module}.open_dataset", lambda _name, _options: data)
    run = train(tiny_forecaster("training.epochs=6", "metric=mae"), tmp_path)
    assert isinstance(run.network, Forecaster)
    assert isinstance(run.recipe, ForecasterRecipe)
    values = torch.from_numpy(data.split("test").values)
    made = forecasts_of(run.network, values)
    errors = errors_of(run.network, values, made, (3, 8), run.recipe.network.quantiles)
    plain = values[:, 1:].repeat(1, 8)[..., None].expand(-1, -1, 3)
    last = errors_of(run.network, values, plain, (3, 8), run.recipe.network.quantiles)
    assert all(ours.mae < 0.5 * theirs.mae for ours, theirs in zip(errors, last, strict=True))
    came = values[SEASON:, 1].unfold(0, 8, 1)[..., None]
    shares = (came < made[SEASON - 1 : SEASON - 1 + len(came)]).float().mean(dim=(0, 1))
    assert shares.tolist() == pytest.approx([0.1, 0.5, 0.9], abs=0.12)
    figure = evaluate_run(tmp_path, split="validation")
    assert (figure.metric, figure.unit) == ("mae", "deviations")
    assert figure.value == pytest.approx(min(row["validation_mae"] for row in run.history))


def test_frames_are_normalized_by_the_training_split() -> None:
    series = waves(1000)
    task = open_task(tiny_forecaster(), series_dataset(series))
    assert isinstance(task, Forecasting)
    assert task.vocabularies == {}
    made = task.new_module().network
    values = series.values[:600]
    assert made.normalization.mean.numpy() == pytest.approx(values.mean(axis=0), rel=1e-4)
    assert made.deviation == pytest.approx(float(values[:, 1].std()), rel=1e-4)


@pytest.mark.parametrize(
    ("data", "changes", "message"),
    [
        (labelled_dataset(sentences(10)), (), "needs a series, but the train split .* is none"),
        (series_dataset(waves(40)), (), "train split .* at least 28 frames .* got 24"),
        (series_dataset(waves(60)), (), "validation split .* at least 14 frames .* got 12"),
        (series_dataset(waves(200)), ("training.validation_limit=9",), "at least 14 .* got 9"),
        (
            series_dataset(waves(200)),
            ('batching.channels=["OT"]', "batching.target=OT"),
            "channels out of noise, level, got 'OT'",
        ),
    ],
)
def test_data_that_do_not_fit_are_refused(
    data: Any, changes: tuple[str, ...], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        open_task(tiny_forecaster(*changes), data)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("network.horizons=[]", "rising numbers of steps from 1"),
        ("network.horizons=[8, 3]", "rising numbers"),
        ("network.horizons=24", "network.horizons' should be a list, got 24"),
        ('network.horizons=["day"]', r"network.horizons.0' should be an integer, got 'day'"),
        ("network.quantiles=[0.1, 0.9]", "0.5 among them"),
        ("network.quantiles=[0.5, 1.0]", "between 0 and 1"),
        ("network.season=1", "network.season' should be at least 2"),
        ("batching.target=OT", "batching.target among them"),
        ("batching.steps=5", "at least network.season"),
    ],
)
def test_recipes_that_mean_nothing_are_refused(change: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        tiny_forecaster(change)


def test_a_channel_more_is_read_in_its_order() -> None:
    series = waves(30)
    both = series.of(("level", "noise"))
    assert np.array_equal(both, series.values[:, ::-1])


def test_a_training_that_was_interrupted_ends_in_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = series_dataset(waves(2000))
    for module in ("treadle_train.training", "treadle_train.run"):
        monkeypatch.setattr(f"{module}.open_dataset", lambda _name, _options: data)
    whole = train(tiny_forecaster(), tmp_path / "whole")
    step = TaskModule.training_step

    def interrupted(self: TaskModule[Any], batch: Any, index: int) -> Any:
        if self.position.step == 9:
            os.kill(os.getpid(), signal.SIGINT)
        return step(self, batch, index)

    with monkeypatch.context() as patch:
        patch.setattr(TaskModule, "training_step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(tiny_forecaster(), tmp_path / "broken")
    state = json.loads((tmp_path / "broken" / "checkpoint" / "latest.json").read_text())["state"]
    assert state["position"]["batch"] > 0  # within an epoch, with a state to carry
    resumed = train(tiny_forecaster(), tmp_path / "broken", resume=True)
    assert weights(resumed.path) == weights(whole.path)
    assert timeless(resumed.history) == timeless(whole.history)


def test_a_series_of_ones_own_is_a_file(tmp_path: Path) -> None:
    series, file = waves(400), tmp_path / "waves.csv"
    rows = [f"{noise},{level}" for noise, level in series.values.tolist()]
    file.write_text("\n".join(["noise,level", *rows]))
    dataset = open_dataset("files", {"format": "series", "path": str(file)})
    task = open_task(tiny_forecaster(), dataset)
    assert isinstance(task, Forecasting)
    assert task.training.numpy() == pytest.approx(series.values[: len(task.training)])
