"""Baselines of forecasts, and the errors that published figures are made of."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.quality.baselines import repeat_last, repeat_season
from benchmarks.quality.forecasting import beats, table
from treadle.data import open_dataset
from treadle.errors import DataError, InputError
from treadle.forecast_errors import HorizonErrors, horizon_errors, mean_over

LAST = HorizonErrors(24, 0.3, 0.4, 10)


@given(season=st.integers(1, 9), steps=st.integers(1, 30), count=st.integers(10, 40))
def test_a_season_that_repeats_is_forecast_without_error(
    season: int, steps: int, count: int
) -> None:
    whole = (np.arange(count + steps) % season).astype(np.float32)
    made = repeat_season(whole[:count], steps, season)
    assert np.isnan(made[: season - 1]).all()
    for origin in range(season - 1, count):
        assert np.array_equal(made[origin], whole[origin + 1 : origin + 1 + steps])


@given(st.lists(st.integers(-50, 50), min_size=4, max_size=30), st.integers(1, 3))
def test_errors_are_means_over_all_steps_up_to_a_horizon(numbers: list[int], horizon: int) -> None:
    values = np.array(numbers, np.float32)
    [made] = horizon_errors(repeat_last(values, 3), values, [horizon], first=0, deviation=2.0)
    off = [
        (values[origin] - values[origin + step]) / 2
        for origin in range(len(values) - horizon)
        for step in range(1, horizon + 1)
    ]
    assert made.origins == len(values) - horizon
    assert made.mse == pytest.approx(np.mean(np.square(off)))
    assert made.mae == pytest.approx(np.mean(np.abs(off)))


def test_published_figures_of_baselines_come_out() -> None:
    try:
        dataset = open_dataset("etth1")
    except DataError as error:
        pytest.skip(str(error))
    [training], [values] = (dataset.split(split).of(["OT"]).T for split in ("train", "test"))
    deviation = float(training.astype(np.float64).std())
    for forecasts, mse, mae in (
        (repeat_last(values, 24), 0.034, 0.139),
        (repeat_season(values, 24, 24), 0.046, 0.166),
    ):
        [made] = horizon_errors(forecasts, values, [24], first=23, deviation=deviation)
        assert (made.mse, made.mae) == pytest.approx((mse, mae), abs=1e-3)


def test_a_model_must_beat_every_figure() -> None:
    baselines = {"repeat-last": (LAST,)}
    assert beats([HorizonErrors(24, 0.2, 0.3, 10)], baselines)
    assert not beats([HorizonErrors(24, 0.2, 0.4, 10)], baselines)
    assert not beats([HorizonErrors(24, 0.3, 0.3, 10)], baselines)
    assert mean_over([LAST, HorizonErrors(48, 0.5, 0.8, 9)], "mae") == pytest.approx(0.6)
    assert table(baselines)[-1] == "| repeat-last | 0.3000 / 0.4000 | 0.3000 / 0.4000 |"


def test_a_series_needs_a_frame_to_forecast_from() -> None:
    values = np.zeros(10, np.float32)
    with pytest.raises(InputError, match="more than 10 frames, 4 to start with and 6"):
        horizon_errors(repeat_last(values, 6), values, [6], first=4, deviation=1.0)
    [made] = horizon_errors(repeat_last(values, 6), values, [6], first=3, deviation=1.0)
    assert made.origins == 1
