"""Forecasters from a run to a bundle: exact rows and chunks, running forecasts, refusals."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

import treadle
import treadle.data
from tests.train.series import SEASON, open_waves, tiny_forecaster
from treadle.cli import cli
from treadle.data import Series
from treadle.errors import BundleError, InputError
from treadle.evaluation import evaluate, symbol_nats
from treadle.forecast_errors import mean_over
from treadle.selfcheck import verify
from treadle_export.capturing.network import capture
from treadle_export.engine import Engine
from treadle_export.exporting.exporter import export_run
from treadle_export.quantization.precision import lower, precision_named
from treadle_export.quantization.quantizer import Quantization
from treadle_train.evaluation import evaluate_run
from treadle_train.fine_tuning import FineTuning
from treadle_train.networks import Forecaster as Network
from treadle_train.training import train

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from treadle.forecaster import Forecaster
    from treadle_train.run import Run

PRECISIONS = ("float32", "int8", "int4")
KINDS: dict[str, tuple[str, ...]] = {
    "quantiles": (),
    "mean": (
        "network.quantiles=[]",
        "network.relative_to=season",
        "network.cell=lstm",
        'batching.channels=["level"]',
    ),
}


@pytest.fixture(scope="module", autouse=True)
def data() -> Iterator[None]:
    treadle.data.DATASETS["waves"] = open_waves
    yield
    del treadle.data.DATASETS["waves"]


@pytest.fixture(scope="module", params=KINDS)
def made(
    data: None, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Run, dict[str, Path]]:
    """A kind, its trained run, and the run's bundles by precision."""
    folder = tmp_path_factory.mktemp(request.param)
    run = train(tiny_forecaster(*KINDS[request.param]), folder / "run")
    outs = {name: folder / f"{name}.treadle" for name in PRECISIONS}
    export_run(run, outs, quantization=Quantization(max_quality_drop=0.2))
    return request.param, run, outs


def frames_of(model: Forecaster) -> NDArray[np.float32]:
    series = open_waves().split("test")
    assert isinstance(series, Series)
    return series.of(model.channels)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_bundle_judges_as_its_run(made: tuple[str, Run, dict[str, Path]], precision: str) -> None:
    kind, run, outs = made
    with treadle.load(outs[precision]) as model:
        assert isinstance(model, treadle.Forecaster)
        assert (model.target, model.horizons, model.season) == ("level", (3, 8), SEASON)
        assert model.quantiles == ((0.1, 0.5, 0.9) if kind == "quantiles" else ())
        figure = evaluate(model)
        assert (figure.metric, figure.unit, figure.examples) == ("mse", "variances", 1100)
        close = 1e-4 if precision == "float32" else 0.1
        assert figure.value == pytest.approx(evaluate_run(run.path).value, rel=close)
        errors = model.errors(frames_of(model))
        assert mean_over(errors, "mse") == figure.value
        assert [one.origins for one in errors] == [1100 - 5 - 3, 1100 - 5 - 8]
        report = verify(model)
        assert report.passed
        if precision == "int8":
            assert (report.invariance["promised"], report.invariance["batch"]) == (True, 0)
        if kind == "mean":  # half the squared error over every step of the largest horizon
            assert symbol_nats(model).mean() * 2 == pytest.approx(errors[-1].mse)


@given(spans=st.lists(st.tuples(st.integers(0, 900), st.integers(6, 40)), min_size=1, max_size=5))
@settings(max_examples=10, deadline=None)
def test_a_series_feels_neither_company_nor_cuts(
    made: tuple[str, Run, dict[str, Path]], spans: list[tuple[int, int]]
) -> None:
    for precision, same in (("float32", 1e-4), ("int8", 0.0)):
        with treadle.load(made[2][precision]) as model:
            whole = frames_of(model)
            series = [whole[first : first + length] for first, length in spans]
            together = model.forecast(series)
            for one, forecast in zip(series, together, strict=True):
                [alone] = model.forecast(one)
                running = list(model.running(one))
                assert len(running) == len(one) - SEASON + 1
                for other in (alone, running[-1]):
                    assert np.abs(other.values - forecast.values).max() <= same
                with model.stream() as stream:
                    stream.feed(one[None, :3])
                    [cut] = model.forecasts(stream.feed(one[None, 3:]))
                assert np.abs(cut.values - forecast.values).max() <= same


def test_a_forecast_is_in_the_unit_of_the_data(made: tuple[str, Run, dict[str, Path]]) -> None:
    kind, _, outs = made
    with treadle.load(outs["int8"]) as model:
        whole = frames_of(model)
        [forecast] = model.forecast(whole[:-8])
        assert forecast.values.shape == (8, 3 if kind == "quantiles" else 1)
        assert forecast.values.dtype == np.float32
        assert (np.diff(forecast.values, axis=1) >= 0).all()
        assert np.array_equal(forecast.central, forecast.values[:, 1 if kind == "quantiles" else 0])
        came = whole[-8:, model.channels.index("level")]
        assert np.abs(forecast.central - came).max() < 3
        assert (np.abs(forecast.central) > 10).all()


def test_refusals(made: tuple[str, Run, dict[str, Path]]) -> None:
    with treadle.load(made[2]["int8"]) as model:
        whole = frames_of(model)
        assert model.forecast([]) == []
        with pytest.raises(InputError, match=r"series 1 has 5 frames, but .* from 6 at least"):
            model.forecast([whole, whole[:5]])
        spoiled = whole[:20].copy()
        spoiled[7] = np.nan
        with pytest.raises(InputError, match="finite numbers, got nan at"):
            model.forecast(spoiled)
        with pytest.raises(InputError, match="finite numbers, got nan at"):
            next(model.running(spoiled))
        with model.stream() as stream, pytest.raises(InputError, match="finite"):
            stream.step(spoiled[7:8])
        with pytest.raises(InputError, match="float32"):
            model.forecast(whole[:20].astype(np.float64))
        with pytest.raises(InputError, match="more than 13 frames, 5 to start with"):
            model.errors(whole[:13])
        with pytest.raises(InputError, match="give what a stream's step returns"):
            model.forecasts(np.zeros((1, 5), np.float32))
        with pytest.raises(InputError, match="expected a beam"):
            evaluate(model, beam=2)


def test_a_line_of_numbers_is_answered(made: tuple[str, Run, dict[str, Path]]) -> None:
    bundle = str(made[2]["int8"])
    with treadle.load(bundle) as model:
        series = np.round(frames_of(model)[:30], 2)
        [forecast] = model.forecast(series)
    line = " ".join(",".join(f"{number:.2f}" for number in frame) for frame in series)
    answer = CliRunner().invoke(cli, ["run", bundle, line])
    assert [float(x) for x in answer.output.split("\t")] == pytest.approx(
        forecast.central.tolist(), rel=1e-5
    )
    [said] = json.loads(CliRunner().invoke(cli, ["run", bundle, line, "--json"]).output)["answers"]
    assert said["forecast"] == pytest.approx(forecast.central.tolist())
    assert list(said["quantiles"]) == [str(share) for share in forecast.quantiles]
    for wrong in ("one two", "1,2 3", ""):
        refused = CliRunner().invoke(cli, ["run", bundle, wrong])
        assert isinstance(refused.exception, InputError), wrong


def test_a_bundle_that_does_not_say_what_it_forecasts_is_refused(
    made: tuple[str, Run, dict[str, Path]],
) -> None:
    with treadle.load(made[2]["int8"]) as model:
        model.manifest.decoding["horizons"] = "a week"
        with pytest.raises(BundleError, match=r"decoding.horizons of .* to be a list"):
            model.forecast(frames_of(model))


def test_every_precision_but_float32_says_what_it_costs(
    made: tuple[str, Run, dict[str, Path]],
) -> None:
    for name in ("int8", "int4"):
        document = json.loads((made[2][name] / "manifest.json").read_text("utf-8"))
        assert abs(document["evidence"]["quality"]["relative"]) < 0.2
    calibration = document["evidence"]["quantization"]["calibration"]
    assert (calibration["examples"], calibration["unit"]) == (3296, "frames")


def test_fine_tuning_for_int4_starts_from_the_run(
    made: tuple[str, Run, dict[str, Path]], tmp_path: Path
) -> None:
    kind, run, _ = made
    recipe = tiny_forecaster(*KINDS[kind], "network.dropout=0", "training.learning_rate=0.001")
    tuned = train(recipe, tmp_path / "run", fine_tuning=FineTuning("int4", run))
    before, after = evaluate_run(run.path).value, evaluate_run(tuned.path).value
    assert after == pytest.approx(before, rel=0.2)


@pytest.mark.parametrize("hidden", [10, 16])
@pytest.mark.parametrize(("channels", "season", "steps"), [(1, 7, 5), (3, 7, 13), (2, 24, 17)])
def test_int8_rows_are_exact_at_any_width(
    hidden: int, channels: int, season: int, steps: int
) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        network = Network(channels, 0, steps, 3, hidden, 2, "gru", season, "season").eval()
        torch.nn.init.normal_(network.output.weight)
        network.normalization.measure(torch.randn(50, channels) * 3 + 10)
    step = lower(capture(network), precision_named("int8")).graphs["step"]
    engine, random = Engine(step.model), np.random.default_rng(0)
    for rows in (2, 3, 5, 8, 13) * 4:
        feeds = {
            port.input: random.normal(size=(rows, int(port.shape[1]))).astype(np.float32)
            for port in step.interface.state
        }
        feeds["frame"] = 9 + 5 * random.normal(size=(rows, channels)).astype(np.float32)
        together = engine.run(feeds)
        for row in range(rows):
            alone = engine.run({name: array[row : row + 1] for name, array in feeds.items()})
            for name, array in alone.items():
                assert np.array_equal(array[0], together[name][row]), (name, rows, row)
