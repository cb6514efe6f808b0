"""`treadle adopt` as a user types it: every source, and what goes wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

import treadle
import treadle_export
from tests.export import adoptable
from tests.export.control_graphs import branched, one_layer
from tests.export.foreign_graphs import Builder
from treadle.cli import run
from treadle.golden import GOLDEN_FILE, Golden

if TYPE_CHECKING:
    from collections.abc import Callable

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _in_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)


def adopted(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert run(["adopt", *arguments, "--json"]) == 0
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document


@pytest.mark.parametrize("factory", ["spotter", "with_states", "one_step", "classifier"])
def test_a_torch_module_streams_frame_by_frame(
    factory: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "x.treadle"
    report = adopted(capsys, f"tests.export.adoptable:{factory}", "--out", str(out))
    assert report["passed"]
    assert max(r["max_rel"] for r in report["rungs"] if r["name"] == "onnx sequence") <= 1e-5


def test_a_stream_of_frames_gives_what_the_module_gives(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "x.treadle"
    adopted(capsys, "tests.export.adoptable:spotter", "--out", str(out))
    module, _ = adoptable.spotter()
    frames = torch.randn(1, 70, 6, generator=torch.Generator().manual_seed(9))
    with torch.no_grad():
        expected = module(frames)[0].numpy()
    with treadle.load(out) as model, model.stream() as stream:
        made = np.concatenate([stream.step(frame[None].numpy()) for frame in frames[0]])
    assert np.abs(made - expected).max() <= 1e-5 * max(1.0, np.abs(expected).max())


def test_a_checkpoint_goes_into_the_module(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    module, _ = adoptable.spotter()
    for parameter in module.parameters():
        torch.nn.init.constant_(parameter, 0.01)
    torch.save(module.state_dict(), tmp_path / "weights.pt")
    source, out = "tests.export.adoptable:spotter", tmp_path / "x.treadle"
    adopted(capsys, source, "--checkpoint", str(tmp_path / "weights.pt"), "--out", str(out))
    with treadle.load(out) as model:
        made = model.unroll(np.ones((1, 5, 6), np.float32))
    with torch.no_grad():
        expected = module(torch.ones(1, 5, 6)).numpy()
    assert np.abs(made - expected).max() <= 1e-6


def test_keras_gives_a_bundle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keras = pytest.importorskip("keras", reason="the extra `keras` is not installed")
    layers = [
        keras.Input((None, 6)),
        keras.layers.GRU(10, return_sequences=True, reset_after=False),
        keras.layers.Dense(3),
    ]
    keras.Sequential(layers).save(tmp_path / "model.keras")
    out = tmp_path / "x.treadle"
    report = adopted(
        capsys, str(tmp_path / "model.keras"), "--out", str(out), "--precision", "int8"
    )
    assert report["invariance"] == {"batch": 0.0, "chunk": 0.0, "promised": True}


def test_real_inputs_are_what_any_model_is_proven_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frames = np.random.default_rng(5).normal(size=(1, 80, 6)).astype(np.float32)
    np.save(tmp_path / "frames.npy", frames)
    out = tmp_path / "x.treadle"
    source = ["tests.export.adoptable:spotter", "--inputs", str(tmp_path / "frames.npy")]
    adopted(capsys, *source, "--out", str(out))
    with treadle.load(out) as model:
        golden = Golden.from_bytes(model.bundle.read(GOLDEN_FILE))
    assert np.array_equal(golden.inputs[:80], frames[0])


def test_a_plan_leaves_a_weight_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "plan.json").write_text('{"rnn.1.*": "float32"}')
    out, plan = tmp_path / "x.treadle", ["--plan", str(tmp_path / "plan.json")]
    adopted(
        capsys, "tests.export.adoptable:spotter", "--out", str(out), "--precision", "int8", *plan
    )
    with treadle.load(out) as model:
        kept = model.manifest.plan["weights"]
    assert kept == {"rnn.1.input": "float32", "rnn.1.recurrent": "float32"}


def test_a_head_is_screened(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "x.treadle"
    source = ["tests.export.adoptable:with_states", "--precision", "int8", "--screen-head", "1"]
    report = adopted(capsys, *source, "--out", str(out))
    assert "screened" in [rung["name"] for rung in report["rungs"]]
    with treadle.load(out) as model:
        assert model.manifest.plan["head"]["screened"] == 1
        assert 0 < model.manifest.evidence["screening"]["same_choice_share"] <= 1


@pytest.mark.parametrize(
    "array", [np.zeros((1, 80, 6)), np.zeros((80, 6), np.float32), np.zeros((0, 9, 6), np.float32)]
)
def test_inputs_unlike_the_models_are_refused(
    array: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "frames.npy", array)
    source = ["tests.export.adoptable:spotter", "--inputs", str(tmp_path / "frames.npy")]
    assert run(["adopt", *source, "--out", str(tmp_path / "x.treadle")]) == 1
    assert "expected one batch of 'frames'" in capsys.readouterr().err
    assert not (tmp_path / "x.treadle").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["model.txt"], "expected FILE.onnx, FILE.keras, FILE.h5 or package.module:factory"),
        (["nowhere.onnx"], "expected an ONNX model in nowhere.onnx"),
        (["no_such_module:f"], "no_such_module"),
        (["tests.export.adoptable:spotter", "--fix", "sr=1"], "--fix has no meaning for"),
        (["nowhere.onnx", "--checkpoint", "x.pt"], "--checkpoint has no meaning for"),
        (["tests.export.adoptable:spotter", "--inputs", "absent.npy"], "expected an array in"),
    ],
)
def test_what_goes_wrong_says_what_to_do(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["adopt", *arguments, "--out", str(tmp_path / "x.treadle")]) == 1
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def _stateless() -> onnx.ModelProto:
    b = Builder()
    b.op("MatMul", "x", b.weight("w", 6, 3), to="y")
    return b.model([("x", TensorProto.FLOAT, ["b", "t", 6])], [("y", None)])


def _with_a_custom_operator() -> onnx.ModelProto:
    model = one_layer("GRU")
    model.graph.node.append(helper.make_node("Polish", ["y"], ["z"], domain="acme.ai"))
    model.opset_import.append(helper.make_opsetid("acme.ai", 1))
    return model


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (_stateless, "expected a model with a recurrent layer or a state, got neither in 'model'"),
        (_with_a_custom_operator, "got acme.ai:Polish"),
        (lambda: branched("values"), "a condition that depends on the values of 'x' around GRU"),
    ],
)
def test_a_file_that_is_no_stream_is_refused_by_name(
    make: Callable[[], onnx.ModelProto],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    onnx.save(make(), tmp_path / "model.onnx")
    out = tmp_path / "x.treadle"
    assert run(["adopt", str(tmp_path / "model.onnx"), "--out", str(out), "--json"]) == 1
    assert not out.exists()
    document = json.loads(capsys.readouterr().out)
    assert document["error"]["type"] == "UnsupportedGraph"
    assert message in document["error"]["message"]


def test_a_bundle_in_the_way_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "x.treadle"
    out.mkdir()
    assert run(["adopt", "tests.export.adoptable:spotter", "--out", str(out)]) == 1
    assert "exists already" in capsys.readouterr().err


def test_a_pair_without_a_sign_is_wrong_usage(tmp_path: Path) -> None:
    assert run(["adopt", "x.onnx", "--state", "h", "--out", str(tmp_path / "x.treadle")]) == 2


def test_capture_takes_any_module() -> None:
    module, inputs = adoptable.spotter()
    model = treadle_export.capture(module, inputs)
    assert set(model.graphs) == {"step", "sequence"}
    states = [port.name for port in model.graphs["step"].interface.state]
    assert states[:2] == ["rnn.0.hidden", "rnn.1.hidden"]
    assert len(states) == 5  # two layers, the convolution's past, the sum and its count
