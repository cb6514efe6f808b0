"""A screened head: exact where it decides, estimated elsewhere, and honest about the difference."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import treadle
from treadle.errors import ExportError
from treadle.ladder import compare
from treadle.selfcheck import verify
from treadle.tolerances import tolerance
from treadle.vocabulary import Vocabulary
from treadle_export.bundle import Description
from treadle_export.capturing.network import capture
from treadle_export.engine import Arrays, Engine
from treadle_export.exporting.exporter import export_model
from treadle_export.exporting.material import Material
from treadle_export.exporting.requantize import requantize
from treadle_export.exporting.screening import measure, screen_of
from treadle_export.parity.network_origin import NetworkOrigin
from treadle_export.parity.trace import Trace
from treadle_export.passes.screen_head import BELOW, Screen
from treadle_export.quantization.precision import lower, precision_named
from treadle_export.quantization.quantizer import Quantization
from treadle_train.networks import LanguageModel

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from treadle_export.canonical import CanonicalModel

SYMBOLS, HIDDEN, CANDIDATES = 333, 48, 9
pytestmark = pytest.mark.xdist_group("screened")  # each model is captured once
CELLS = ("lstm", "elman-relu")  # the hidden state of one is bounded, and that of the other is not


@cache
def network(cell: str) -> LanguageModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(13)
        made = LanguageModel(SYMBOLS, 20, HIDDEN, 1, cell)
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            parameter.mul_(3.0 if "output" in name else 1.0)
    return made.eval()


@cache
def captured(cell: str) -> CanonicalModel:
    return capture(network(cell))


@cache
def engines(cell: str, exact: Any, graph: str) -> tuple[Engine, Engine]:
    """The whole head and the screened one, in a model of int8 otherwise."""
    exceptions = {"output": exact}
    screen = Screen("output", CANDIDATES, exact)
    model, int8 = captured(cell), precision_named("int8")
    whole = lower(model, int8, exceptions=exceptions)
    screened = lower(model, int8, exceptions=exceptions, screen=screen)
    return Engine(whole.graphs[graph].model), Engine(screened.graphs[graph].model)


def drawn(cell: str, seed: int, rows: int, steps: int | None) -> Arrays:
    random = np.random.default_rng(seed)
    feeds: Arrays = {"token": random.integers(0, SYMBOLS, (rows, steps or 1))}
    if steps is None:
        feeds["token"] = feeds["token"][:, 0]
    else:
        feeds["lengths"] = np.full(rows, steps)
    for port in captured(cell).graphs["step"].interface.state:
        feeds[port.input] = random.uniform(-1, 1, (rows, HIDDEN)).astype(np.float32)
    return feeds


@pytest.mark.parametrize("exact", ["int8", "float32"])
@pytest.mark.parametrize("cell", CELLS)
@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(1, 5), steps=st.sampled_from([None, 1, 6]))
def test_the_largest_logits_are_those_of_the_whole_head(
    cell: str, exact: str, seed: int, rows: int, steps: int | None
) -> None:
    feeds = drawn(cell, seed, rows, steps)
    graph = "step" if steps is None else "sequence"
    expected, actual = (engine.run(feeds) for engine in engines(cell, exact, graph))
    whole, screened = (r.pop("logits").reshape(-1, SYMBOLS) for r in (expected, actual))
    for name, array in expected.items():
        np.testing.assert_array_equal(actual[name], array)
    order = np.argsort(-screened, axis=-1)
    chosen, rest = order[:, :CANDIDATES], order[:, CANDIDATES:]
    found = np.take_along_axis(screened, chosen, axis=-1)
    reference = np.take_along_axis(whole, chosen, axis=-1)
    if exact == "int8":
        np.testing.assert_array_equal(found, reference)
    else:
        allowed = tolerance("chunk", "float32").outputs * float(np.abs(whole).max())
        np.testing.assert_allclose(found, reference, rtol=0, atol=allowed)
    below = np.take_along_axis(screened, rest, axis=-1)
    assert (below < found.min(axis=-1, keepdims=True) - BELOW / 2).all()
    # Estimates, not a floor: probabilities of all symbols stay near.
    assert np.abs(below - np.take_along_axis(whole, rest, axis=-1)).mean() < 0.1 * whole.std()


@pytest.mark.parametrize("exact", ["int8", "float32"])
def test_steps_are_the_sequence(exact: str) -> None:
    feeds = drawn("lstm", 3, 4, 7)
    together = engines("lstm", exact, "sequence")[1].run(feeds)
    stepped: Arrays = {name: array for name, array in feeds.items() if name.startswith("state")}
    logits = []
    for token in feeds["token"].T:
        made = engines("lstm", exact, "step")[1].run({"token": token, **stepped})
        logits.append(made.pop("logits"))
        stepped = {name.removeprefix("next_"): array for name, array in made.items()}
    rung = compare("chunk", "int4", outputs=[(together["logits"], np.stack(logits, axis=1))])
    assert rung.passed, rung
    for name, array in stepped.items():
        np.testing.assert_array_equal(array, together[f"next_{name}"])


def described() -> Description:
    symbols = Vocabulary(tuple(map(chr, range(1000, 1000 + SYMBOLS))), "characters")
    return Description("screened", {"symbols": symbols}, {"start": 0}, {}, {}, {})


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One model in float32, in int8 with a whole head, and in int8 with a screened one."""
    folder = tmp_path_factory.mktemp("screened")
    paths = {name: folder / f"{name}.treadle" for name in ("float32", "int8", "screened")}
    material = Material(
        canonical=captured("lstm"),
        origin=NetworkOrigin(network("lstm")),
        trace=Trace(np.zeros(0, np.int64), np.random.default_rng(0).integers(0, SYMBOLS, 200)),
        description=described(),
        quality=lambda *_: {},
    )
    plain = {name: paths[name] for name in ("float32", "int8")}
    export_model(material, plain, quantization=Quantization(calibration=0))
    asked = Quantization(calibration=0, screen_head=CANDIDATES)
    export_model(material, {"int8": paths["screened"]}, quantization=asked)
    return paths


def stepped(path: Path, tokens: NDArray[np.int64]) -> NDArray[np.float32]:
    with treadle.load(path) as model, model.stream() as stream:
        return np.concatenate([stream.step(token[None]) for token in tokens])


def test_a_bundle_says_what_is_screened_and_how_often_it_is_right(bundles: dict[str, Path]) -> None:
    with treadle.load(bundles["screened"]) as model:
        assert verify(model).passed
        manifest = model.manifest
        inputs = np.load(model.bundle.file("golden.npz"))["inputs"].astype(np.int64)
    assert manifest.plan["head"] == {
        "weights": "output",
        "screened": CANDIDATES,
        "estimate": {"bits": 4, "block_size": 128},
        "exact": "int8",
    }
    assert manifest.evidence["invariance"]["promised"] is False
    assert "screened" in [rung["name"] for rung in manifest.evidence["parity"]["rungs"]]
    whole, screened = (stepped(bundles[name], inputs) for name in ("int8", "screened"))
    same = int((whole.argmax(-1) == screened.argmax(-1)).sum())
    best, kept = np.argsort(-whole)[:, :5], np.argsort(-screened)[:, :CANDIDATES]
    among = sum(set(b) <= set(k) for b, k in zip(best.tolist(), kept.tolist(), strict=True))
    assert manifest.evidence["screening"] == {
        "candidates": CANDIDATES,
        "split": "golden",
        "symbols": len(inputs),
        "same_choice": same,
        "same_choice_share": same / len(inputs),
        "top_5_among_candidates": among,
        "top_5_among_candidates_share": among / len(inputs),
    }
    assert same > 0.9 * len(inputs)


def test_what_the_candidates_miss_is_counted(bundles: dict[str, Path]) -> None:
    """float32 and int8 choose differently now and then, and their largest few more often."""
    found = measure(bundles["float32"], bundles["int8"], 5, limit=150)
    whole, other = (stepped(bundles[name], np.arange(1)) for name in ("float32", "int8"))
    assert whole.shape == other.shape
    assert found["symbols"] == 150
    assert 0 < found["top_5_among_candidates"] < found["same_choice"] <= 150


def test_a_float32_bundle_is_requantized_with_a_screened_head(
    bundles: dict[str, Path], tmp_path: Path
) -> None:
    out = tmp_path / "again.treadle"
    asked = Quantization(calibration=0, screen_head=CANDIDATES)
    requantize(bundles["float32"], out, "int8", quantization=asked)
    with treadle.load(out) as again, treadle.load(bundles["screened"]) as first:
        assert again.manifest.plan == first.manifest.plan
        assert again.manifest.evidence["screening"] == first.manifest.evidence["screening"]
        assert again.manifest.evidence["invariance"] == first.manifest.evidence["invariance"]
        assert verify(again).passed


@pytest.mark.parametrize(
    ("precision", "candidates", "words"),
    [
        ("int8", 21, "between 1 and 20 candidates"),
        ("float32", 20, "a precision of integers by rows or blocks"),
        ("float16", 20, "a precision of integers by rows or blocks"),
        ("int8-tensorwise", 20, "a precision of integers by rows or blocks"),
    ],
)
def test_what_cannot_be_screened_is_refused(precision: str, candidates: int, words: str) -> None:
    with pytest.raises(ExportError, match=words):
        screen_of(captured("lstm"), precision_named(precision), {}, candidates)


def test_a_model_whose_output_is_no_product_is_refused() -> None:
    """Here the output is the state."""
    model = captured("lstm")
    step = model.graphs["step"]
    graph = step.model.clone()
    named = {value.name: value for value in graph.graph.outputs}
    state = next(name for name in named if name and name.endswith("hidden"))
    graph.graph.outputs[:] = [named[state]]
    (output,) = step.interface.outputs
    interface = step.interface._replace(outputs=(output._replace(name=state),))
    graphs = {**model.graphs, "step": replace(step, model=graph, interface=interface)}
    with pytest.raises(ExportError, match="whose only output is a product"):
        screen_of(replace(model, graphs=graphs), precision_named("int8"), {}, 4)


@pytest.mark.parametrize(
    ("precision", "exceptions", "exact"),
    [("int4", {}, "int8"), ("int8-block", {}, "int8"), ("int8", {"output": "float32"}, "float32")],
)
def test_the_plan_says_how_candidates_are_rescored(
    precision: str, exceptions: dict[str, str], exact: str
) -> None:
    screen = screen_of(captured("lstm"), precision_named(precision), exceptions, CANDIDATES)
    assert screen == Screen("output", CANDIDATES, exact)  # type: ignore[arg-type]
