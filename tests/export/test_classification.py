"""Classifiers from a run to a bundle: every precision, both directions, frames, running."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import treadle
import treadle.data
from tests.train.labelled import open_levels, open_moods, tiny_classifier
from treadle.cli import run as run_command
from treadle.errors import ExportError, InputError, StateError
from treadle.evaluation import evaluate, symbol_nats
from treadle.selfcheck import verify
from treadle.tolerances import tolerance
from treadle_export.capturing.network import capture
from treadle_export.engine import Engine
from treadle_export.exporting.exporter import export_run
from treadle_export.exporting.reopened import reopened
from treadle_export.exporting.requantize import requantize
from treadle_export.judging.judge import Judge
from treadle_export.judging.sensitivity import sensitivity
from treadle_export.quantization.precision import lower, precision_named
from treadle_export.quantization.quantizer import Quantization, Quantizer
from treadle_train.evaluation import evaluate_run
from treadle_train.fine_tuning import FineTuning
from treadle_train.networks import Classifier
from treadle_train.training import train

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from treadle_train.run import Run

PRECISIONS = ("float32", "int8", "int4")
SAME = tolerance("stream", "float32").outputs
FRAMES = ("data.name=levels", "batching.of=frames", "network.features=3")
KINDS: dict[str, tuple[str, ...]] = {
    "both": ("network.pooling=attention", "batching.of=characters"),
    "last": ("network.bidirectional=false", "network.pooling=last", "network.cell=lstm"),
    "max": ("network.bidirectional=false", "network.pooling=max", *FRAMES),
    "attention": ("network.bidirectional=false", "network.pooling=attention"),
}


@pytest.fixture(scope="module", autouse=True)
def data() -> Iterator[None]:
    treadle.data.DATASETS |= {"moods": open_moods, "levels": open_levels}
    yield
    for name in ("moods", "levels"):
        del treadle.data.DATASETS[name]


@pytest.fixture(scope="module", params=KINDS)
def made(
    data: None, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Run, dict[str, Path]]:
    """A kind, its trained run, and the run's bundles by precision."""
    folder = tmp_path_factory.mktemp(request.param)
    run = train(tiny_classifier(*KINDS[request.param], "training.epochs=2"), folder / "run")
    outs = {name: folder / f"{name}.treadle" for name in PRECISIONS}
    export_run(run, outs, quantization=Quantization(max_quality_drop=0.2))
    return request.param, run, outs


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_bundle_judges_as_its_run(made: tuple[str, Run, dict[str, Path]], precision: str) -> None:
    kind, run, outs = made
    with treadle.load(outs[precision]) as model:
        assert isinstance(model, treadle.Classifier)
        assert ("step" in model.manifest.graphs) == (kind != "both")
        figure = evaluate(model)
        assert (figure.metric, figure.examples) == ("accuracy", 320)
        assert figure.value > 75
        assert abs(figure.value - evaluate_run(run.path).value) <= (0 if precision[0] == "f" else 2)
        test = run.dataset().split("test")
        assert symbol_nats(model) == pytest.approx(
            [-np.log(model.classify([one.inputs])[0].probabilities[one.label]) for one in test],
            abs=SAME if precision == "float32" else 0.05,
        )
        report = verify(model)
        assert report.passed
        if precision == "int8":
            assert (report.invariance["promised"], report.invariance["batch"]) == (True, 0)


def test_every_precision_but_float32_says_what_it_costs(
    made: tuple[str, Run, dict[str, Path]],
) -> None:
    for name in ("int8", "int4"):
        with treadle.load(made[2][name]) as model:
            quality = model.manifest.evidence["quality"]
            assert quality["metric"] == "nats_per_symbol"
            assert abs(quality["relative"]) < 0.2
    with treadle.load(made[2]["int4"]) as model:
        calibration = model.manifest.evidence["quantization"]["calibration"]
        assert (calibration["examples"], calibration["unit"]) == (960, "sequences")


@given(places=st.lists(st.integers(0, 319), min_size=1, max_size=8, unique=True))
@settings(max_examples=10, deadline=None)
def test_rows_do_not_feel_their_neighbours(
    made: tuple[str, Run, dict[str, Path]], places: list[int]
) -> None:
    kind, run, outs = made
    test = [run.dataset().split("test")[place].inputs for place in places]
    for precision, same in (("float32", SAME), ("int8", 0.0)):
        with treadle.load(outs[precision]) as model:
            together = model.logits(test)
            for one, logits in zip(test, together, strict=True):
                assert np.abs(model.logits([one])[0] - logits).max() <= same
                if kind == "both":
                    continue
                running = list(model.running(one))
                assert running[-1] == model.predictions(model.logits([one]))[0] or same
                last = running[-1].probabilities
                assert [last[label] for label in model.labels] == pytest.approx(
                    list(model.predictions(logits[None])[0].probabilities.values()), abs=SAME
                )


def test_inputs_of_every_form_and_refusals(made: tuple[str, Run, dict[str, Path]]) -> None:
    kind, run, outs = made
    one = run.dataset().split("test")[0].inputs
    with treadle.load(outs["float32"]) as model:
        [prediction] = model.classify(one)
        assert model.classify([one, one])[1].probabilities == pytest.approx(
            prediction.probabilities, abs=SAME
        )
        assert prediction.label == max(
            prediction.probabilities, key=lambda label: prediction.probabilities[label]
        )
        assert prediction.probability == prediction.probabilities[prediction.label]
        assert sum(prediction.probabilities.values()) == pytest.approx(1)
        assert model.classify([]) == []
        with pytest.raises(InputError, match="input 1 is empty"):
            model.classify([one, one[:0]])
        with pytest.raises(InputError, match=r"labels out of .*, got 'odd'"):
            model.nats([one], ["odd"])
        if kind == "max":
            with pytest.raises(InputError, match=r"reads frames of numbers, float32 \[time, 3\]"):
                model.classify("text")
            with pytest.raises(InputError, match="finite"):
                model.classify(one * np.nan)
        else:
            ids = model.vocabularies["input"].encode(one)
            assert model.classify(ids) == model.classify(np.array(ids)) == [prediction]
            with pytest.raises(InputError):
                model.classify([[10_000]])


def test_what_reads_in_both_directions_has_no_stream(
    made: tuple[str, Run, dict[str, Path]],
) -> None:
    kind, run, outs = made
    one = run.dataset().split("test")[0].inputs
    with treadle.load(outs["int8"]) as model:
        if kind == "both":
            with pytest.raises(StateError, match="reads whole sequences"):
                model.stream()
            with pytest.raises(StateError, match="reads whole sequences"):
                model.pool(2)
            with pytest.raises(StateError, match="reads whole sequences"):
                next(model.running(one))
        else:
            with model.pool(2) as pool, pool.join() as member:
                x = model.vocabularies["input"].encode(one) if isinstance(one, str) else one
                step = member.step(np.asarray(x)[0])
            assert step.shape[-1] == len(model.labels)


def test_a_screened_head_is_refused_where_there_is_no_step(
    made: tuple[str, Run, dict[str, Path]], tmp_path: Path
) -> None:
    if made[0] == "both":
        with pytest.raises(ExportError, match="no screened head"):
            export_run(
                made[1], {"int8": tmp_path / "s.treadle"}, quantization=Quantization(screen_head=1)
            )


def test_a_float32_bundle_is_requantized(
    made: tuple[str, Run, dict[str, Path]], tmp_path: Path
) -> None:
    outs, out = made[2], tmp_path / "again.treadle"
    report = requantize(outs["float32"], out, "int8")
    assert report.passed
    with treadle.load(out) as again, treadle.load(outs["int8"]) as model:
        assert again.manifest.plan == model.manifest.plan
        assert again.bundle.read("weights.bin") == model.bundle.read("weights.bin")
        assert symbol_nats(again).tolist() == symbol_nats(model).tolist()
        names = [[rung.name for rung in verify(m).rungs] for m in (again, model)]
        assert names[0] == names[1]


def test_what_only_a_step_has_is_refused_of_a_bundle_without(
    made: tuple[str, Run, dict[str, Path]], tmp_path: Path
) -> None:
    kind, _, outs = made
    if kind == "both":
        with pytest.raises(ExportError, match="no screened head"):
            requantize(
                outs["float32"],
                tmp_path / "s.treadle",
                "int8",
                quantization=Quantization(screen_head=1),
            )
        out = str(tmp_path / "t.treadle")
        assert run_command(["requantize", str(outs["float32"]), "--out", out, "--tune"]) == 1
        assert list(tmp_path.iterdir()) == []


def test_sensitivity_of_a_float32_bundle(made: tuple[str, Run, dict[str, Path]]) -> None:
    plain = reopened(made[2]["float32"])
    judge = Judge(Quantizer(plain.model, plain.description, 0, lambda _: None))
    found = sensitivity(judge, precision_named("int8"), by_gate=False)
    assert {harm.weight for harm in found.harms} >= {"output"}


def test_fine_tuning_for_int4_ends_in_the_bundle(tmp_path: Path) -> None:
    recipe = tiny_classifier(*KINDS["attention"], "training.epochs=2")
    run = train(recipe, tmp_path / "run", fine_tuning=FineTuning("int4"))
    export_run(run, {"int4": tmp_path / "a.treadle"}, quantization=Quantization(max_quality_drop=1))
    with treadle.load(tmp_path / "a.treadle") as model:
        assert model.manifest.evidence["quantization"]["method"] == "fine-tuned"
        assert abs(evaluate(model).value - evaluate_run(run.path).value) <= 2


@pytest.mark.parametrize("hidden", [10, 16, 22])
@pytest.mark.parametrize("pooling", ["max", "mean", "attention"])
def test_int8_rows_are_exact_at_any_width(hidden: int, pooling: str) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        network = Classifier(20, 2, 8, hidden, bidirectional=False, pooling=pooling).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(3.0)
    step = lower(capture(network), precision_named("int8")).graphs["step"]
    engine, random = Engine(step.model), np.random.default_rng(0)
    for rows in (2, 3, 5, 8, 13) * 4:
        feeds: dict[str, Any] = {
            port.input: random.normal(size=(rows, int(port.shape[1]))).astype(np.float32)
            for port in step.interface.state
        }
        feeds |= {
            name: np.full((rows, 1), 3.0 if name.endswith("count") else 1.0, np.float32)
            for name in feeds
            if name.endswith(("started", "count"))
        }
        feeds["token"] = random.integers(0, 20, rows)
        together = engine.run(feeds)
        for row in range(rows):
            alone = engine.run({name: array[row : row + 1] for name, array in feeds.items()})
            for name, array in alone.items():
                assert np.array_equal(array[0], together[name][row]), (name, rows, row)
