"""Adopted models in 4 bits: rounded with real inputs, or with a warning that there were none."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest

import treadle
from tests.export.foreign_graphs import FEATURES, HIDDEN, foreign
from tests.export.sources.test_onnx_models import layered
from treadle.cli import run
from treadle.errors import InputError
from treadle_export.adoption.adopt import adopt
from treadle_export.engine import Engine
from treadle_export.exporting.adopting import export_foreign
from treadle_export.exporting.real_inputs import calibration_of
from treadle_export.foreign import Foreign
from treadle_export.quantization.calibration import calibrate

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def frames(rows: int = 2, steps: int = 90) -> NDArray[np.float32]:
    """Features that go together, as those of sound do: what rounding is compensated for."""
    random = np.random.default_rng(5)
    mixing = random.normal(size=(2, FEATURES))
    noise = 0.1 * random.normal(size=(rows, steps, FEATURES))
    return (random.normal(size=(rows, steps, 2)) @ mixing + noise).astype(np.float32)


def with_frames(model: Foreign, array: NDArray[Any] | None) -> Foreign:
    return Foreign(model.name, model.model, model.example, model.run, inputs=array)


def evidence(out: Path) -> dict[str, Any]:
    with treadle.load(out) as model:
        written: dict[str, Any] = model.manifest.evidence
        return written


def test_real_inputs_round_what_an_adopted_model_multiplies(tmp_path: Path) -> None:
    out = tmp_path / "x.treadle"
    export_foreign(with_frames(foreign("GRU"), frames()), {"int4": out})
    said = evidence(out)["quantization"]
    assert said["method"] == "gptq"
    assert {k: said["calibration"][k] for k in ("from", "examples", "unit")} == {
        "from": "inputs",
        "examples": 180,
        "unit": "steps",
    }


@pytest.mark.slow
def test_rounding_with_real_inputs_loses_less(tmp_path: Path) -> None:
    losses = {}
    for name, array in (("with", frames()), ("without", None)):
        out = tmp_path / f"{name}.treadle"
        model = foreign("GRU")
        # both are judged over the same real frames
        example = {"x": frames()}
        told: list[str] = []
        given = Foreign(model.name, model.model, example, model.run, inputs=array)
        export_foreign(given, {"int4": out}, progress=told.append)
        losses[name] = evidence(out)["quality"]["relative"]
        warned = any("without calibration" in stage for stage in told)
        assert warned == (array is None)
    assert losses["with"] < losses["without"]
    assert evidence(tmp_path / "without.treadle")["quantization"]["calibration"] is None


@pytest.mark.parametrize("past", ["plain", "conv", "strided-conv"])
def test_every_product_of_a_layer_is_measured(past: str) -> None:
    """Also where the sequence graph is the step in a loop: layers and products lie inside it."""
    adopted = adopt(with_frames(foreign("LSTM", past), frames()))
    data = calibration_of(adopted)
    assert data is not None
    grams = calibrate(adopted.canonical, data).grams
    products = {f"rnn.{layer}.{part}" for layer in (0, 1) for part in ("input", "recurrent")}
    assert products | {"head"} <= set(grams)
    steps = 180 // adopted.layout.frames
    assert data.examples == steps
    if past == "plain":
        x = frames().reshape(-1, FEATURES).astype(np.float64)
        assert np.allclose(grams["rnn.0.input"], x.T @ x)
    hidden = grams["rnn.1.recurrent"]
    assert hidden.shape == (HIDDEN, HIDDEN)
    assert 0 < np.trace(hidden) <= steps * HIDDEN  # |h| <= 1


def test_an_example_counts_where_it_is_the_users_and_long_enough() -> None:
    model = foreign("GRU")
    engine = Engine(model.model).run
    long = {"x": frames()}
    short = {"x": frames(2, 12)}
    for example, own, counts in ((long, True, True), (long, False, False), (short, True, False)):
        given = Foreign("f", model.model, example, engine, own_example=own)
        data = calibration_of(adopt(given))
        assert (data is not None) == counts
        if data is not None:
            assert data.provenance["from"] == "example"


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((1, 40, FEATURES - 1), np.float32), r"got \[1, 40, 5\]"),
        (np.full((1, 40, FEATURES), np.nan, np.float32), "not finite"),
        (np.zeros((1, 1, FEATURES), np.float32), "of at least 2 steps"),
    ],
)
def test_inputs_of_the_wrong_shape_are_refused(
    array: NDArray[Any], words: str, tmp_path: Path
) -> None:
    out = tmp_path / "x.treadle"
    model = with_frames(foreign("GRU", "strided-conv"), array)
    with pytest.raises(InputError, match=rf"expected one batch of 'x', float32 \[.*{words}"):
        export_foreign(model, {"int4": out})
    assert not out.exists()


def test_the_command_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    onnx.save(layered("GRU"), tmp_path / "model.onnx")
    np.save(tmp_path / "frames.npy", frames())
    out, command = tmp_path / "x.treadle", ["adopt", str(tmp_path / "model.onnx")]
    asked = ["--precision", "int4", "--out", str(out), "--json", "--force"]
    assert run([*command, *asked]) == 0
    assert "rounded without calibration" in capsys.readouterr().err
    assert run([*command, *asked, "--inputs", str(tmp_path / "frames.npy")]) == 0
    captured = capsys.readouterr()
    assert "calibrate on 180 steps" in captured.err
    assert json.loads(captured.out)["passed"]
    assert evidence(out)["quantization"]["method"] == "gptq"
