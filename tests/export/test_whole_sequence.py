"""Models that read backwards: bundles that read whole sequences, rows of any lengths beside it."""

from __future__ import annotations

import json
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from torch import nn

import treadle
from tests.export.foreign_graphs import FEATURES, GATES, HIDDEN, OUTPUTS, Builder, of_model
from treadle.cli import run
from treadle.errors import (
    BundleError,
    DataError,
    InputError,
    StateError,
    UnsupportedGraph,
)
from treadle.evaluation import evaluate
from treadle.tolerances import tolerance
from treadle_export.exporting.adopting import export_foreign
from treadle_export.exporting.requantize import requantize
from treadle_export.quantization.quantizer import Quantization
from treadle_export.sources.onnx_models import foreign_of_file
from treadle_export.torch_modules import foreign_of

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

LIMIT = tolerance("onnx sequence", "float32").outputs


def backward(kind: str, direction: str = "bidirectional", end: str = "steps") -> onnx.ModelProto:
    """A layer and a product: at every step, or of the final states of its directions alone."""
    b = Builder()
    count, rows = (2 if direction == "bidirectional" else 1), GATES[kind] * HIDDEN
    b.op("Transpose", "x", to="xt", perm=[1, 0, 2])
    weights = [
        b.weight("l.w", count, rows, FEATURES),
        b.weight("l.r", count, rows, HIDDEN),
        b.weight("l.b", count, 2 * rows),
    ]
    b.nodes.append(
        helper.make_node(
            kind, ["xt", *weights], ["all", "last"], hidden_size=HIDDEN, direction=direction
        )
    )
    head = b.weight("head", count * HIDDEN, OUTPUTS)
    if end == "steps":
        b.op("Transpose", "all", to="beside", perm=[2, 0, 1, 3])
        joined = b.op("Reshape", "beside", b.constant("flat", [0, 0, -1]), to="joined")
    else:
        b.op("Transpose", "last", to="beside", perm=[1, 0, 2])
        joined = b.op("Reshape", "beside", b.constant("flat", [0, -1]), to="joined")
    b.op("MatMul", joined, head, to="y")
    return b.model([("x", TensorProto.FLOAT, ["b", "t", FEATURES])], [("y", None)])


def written(model: onnx.ModelProto, folder: Path, precision: str = "float32") -> Path:
    out = folder / f"{precision}.treadle"
    report = export_foreign(of_model(model), {precision: out})[precision]
    assert report.passed
    assert {"onnx sequence", "lowered", "stream", "batch"} <= {rung.name for rung in report.rungs}
    return out


def frames(rows: int, steps: int, seed: int = 3) -> NDArray[np.float32]:
    shape = (rows, steps, FEATURES)
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


FAST = {
    ("LSTM", "bidirectional", "steps"),
    ("GRU", "reverse", "steps"),
    ("RNN", "bidirectional", "last"),
}
KINDS = [
    pytest.param(*kind, marks=[] if kind in FAST else pytest.mark.slow)
    for kind in product(GATES, ("bidirectional", "reverse"), ("steps", "last"))
]


@pytest.mark.parametrize(("kind", "direction", "end"), KINDS)
def test_rows_of_any_length_are_read_as_the_model_reads_them(
    kind: str, direction: str, end: str, tmp_path: Path
) -> None:
    model = backward(kind, direction, end)
    out, origin = written(model, tmp_path), of_model(model)
    x, lengths = frames(4, 9), np.array([9, 3, 3, 1])
    with treadle.load(out) as bundle:
        made = bundle.read(x, lengths)
    for row, length in enumerate(lengths):
        expected = origin.run({"x": x[row : row + 1, :length]})["y"][0]
        own = made[row, :length] if end == "steps" else made[row]
        assert np.abs(own - expected).max() <= LIMIT
        if end == "steps":
            assert not made[row, length:].any()


@pytest.fixture(scope="module")
def int8(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(backward("LSTM"), tmp_path_factory.mktemp("whole"), "int8")


@given(lengths=st.lists(st.integers(1, 12), min_size=1, max_size=5), seed=st.integers(0, 99))
@settings(max_examples=15, deadline=None)
def test_int8_rows_feel_no_neighbours_and_no_padding(
    int8: Path, lengths: list[int], seed: int
) -> None:
    x = frames(len(lengths), max(lengths) + 2, seed)
    with treadle.load(int8) as model:
        together = model.read(x, np.array(lengths))
        for row, length in enumerate(lengths):
            alone = model.read(x[row : row + 1, :length])
            assert np.array_equal(together[row, :length], alone[0])


def test_int8_is_near_float32(int8: Path, tmp_path: Path) -> None:
    x = frames(2, 30)
    with treadle.load(int8) as quantized, treadle.load(written(backward("LSTM"), tmp_path)) as own:
        expected = own.read(x)
        assert 0 < np.abs(quantized.read(x) - expected).max() <= 0.05 * np.abs(expected).max()
        assert quantized.manifest.evidence["quality"]["relative"] < 0.05
        assert quantized.manifest.evidence["invariance"] == {
            "batch": 0.0,
            "chunk": None,
            "promised": True,
        }


def test_what_cannot_be_read_is_refused(int8: Path) -> None:
    x = frames(2, 5)
    with treadle.load(int8) as model:
        for bad, lengths, words in (
            (x[:0], None, "has no rows"),
            (x[:, :0], None, "from 1|at least|0"),
            (x, np.array([5, 0]), "1"),
            (x, np.array([5, 6]), "6"),
            (x.astype(np.float64), None, "convert it"),
            (x[..., :-1], None, "should be float32"),
            (np.where(x > 1, np.nan, x).astype(np.float32), None, "finite"),
        ):
            with pytest.raises(InputError, match=words):
                model.read(bad, lengths)
        beyond = x.copy()
        beyond[0, 3:] = np.nan  # what lies behind a row's length is never looked at
        assert np.isfinite(model.read(beyond, np.array([3, 5]))).all()


def test_it_says_why_it_cannot_step(int8: Path, tmp_path: Path) -> None:
    with treadle.load(int8) as model:
        for call in (model.stream, model.step, lambda: model.stream(batch_size=2)):
            with pytest.raises(StateError, match=r"reads backwards.*call read\(x, lengths\)"):
                call()
        with pytest.raises((BundleError, DataError)):
            evaluate(model)


@pytest.mark.parametrize("precision", ["int8", "int4"])
def test_a_float32_bundle_is_requantized(tmp_path: Path, precision: str) -> None:
    """As if the model had been adopted in that precision; there are no data to calibrate with."""
    plain, direct = (written(backward("GRU"), tmp_path, p) for p in ("float32", precision))
    again, none = tmp_path / "again.treadle", Quantization(calibration=0)
    assert requantize(plain, again, precision, quantization=none).passed
    with treadle.load(again) as ours, treadle.load(direct) as theirs:
        assert ours.bundle.read("weights.bin") == theirs.bundle.read("weights.bin")
        assert ours.manifest.plan == theirs.manifest.plan
        evidence = ours.manifest.evidence
        assert evidence["quality"] == theirs.manifest.evidence["quality"]
        with treadle.load(plain) as float32:
            assert evidence["quantization"]["from"] == float32.manifest.digest


def test_the_commands_know_it(int8: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["verify", str(int8), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["passed"]
    replayed = {rung["name"] for rung in report["rungs"] if rung["source"] == "replayed"}
    assert replayed == {"stream", "batch"}
    assert run(["verify", str(int8)]) == 0
    assert "in chunks -" in capsys.readouterr().out
    assert run(["inspect", str(int8)]) == 0
    assert "whole-sequence, int8" in capsys.readouterr().out
    assert run(["evaluate", str(int8), "--json"]) == 1
    assert run(["run", str(int8), "a"]) == 1


class Tagger(nn.Module):
    """Two bidirectional layers over packed rows, and the states that they end with."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(FEATURES, HIDDEN, 2, batch_first=True, bidirectional=True)
        self.head = nn.Linear(2 * HIDDEN, OUTPUTS)

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        packed = nn.utils.rnn.pack_padded_sequence(
            x, lengths, batch_first=True, enforce_sorted=False
        )
        y, (h, _) = self.rnn(packed)
        padded, _ = nn.utils.rnn.pad_packed_sequence(y, batch_first=True)
        return self.head(padded), h[-1] + h[-2]


@pytest.mark.parametrize("precision", ["float32", pytest.param("int8", marks=pytest.mark.slow)])
def test_a_torch_tagger_reads_rows_of_unequal_length(precision: str, tmp_path: Path) -> None:
    torch.manual_seed(5)
    module, out = Tagger(), tmp_path / "x.treadle"
    example = torch.randn(2, 12, FEATURES), torch.tensor([12, 7])
    assert export_foreign(foreign_of(module, example), {precision: out})[precision].passed
    x, lengths = torch.randn(3, 10, FEATURES), torch.tensor([4, 10, 1])
    with torch.no_grad():
        expected = [array.numpy() for array in module.eval()(x, lengths)]
    with treadle.load(out) as model:
        steps, last = model.read(x.numpy(), lengths.numpy())
    limit = LIMIT if precision == "float32" else 0.1
    assert np.abs(last - expected[1]).max() <= limit
    for row, length in enumerate(lengths.tolist()):
        assert np.abs(steps[row, :length] - expected[0][row, :length]).max() <= limit


@pytest.mark.parametrize(
    "kind", ["Bidirectional", pytest.param("go_backwards", marks=pytest.mark.slow)]
)
def test_a_keras_model_reads_whole_sequences(kind: str, tmp_path: Path) -> None:
    keras = pytest.importorskip("keras", reason="the extra `keras` is not installed")
    layer = keras.layers.GRU(HIDDEN, return_sequences=True, go_backwards=kind == "go_backwards")
    if kind == "Bidirectional":
        layer = keras.layers.Bidirectional(layer)
    model = keras.Sequential([keras.Input((None, FEATURES)), layer, keras.layers.Dense(3)])
    model.save(tmp_path / "model.keras")
    out = tmp_path / "x.treadle"
    assert run(["adopt", str(tmp_path / "model.keras"), "--out", str(out)]) == 0
    x, lengths = frames(2, 8), np.array([8, 5])
    with treadle.load(out) as bundle:
        made = bundle.read(x, lengths)
    for row, length in enumerate(lengths):
        expected = keras.ops.convert_to_numpy(model(x[row : row + 1, :length]))[0]
        assert np.abs(made[row, :length] - expected).max() <= LIMIT


def test_a_file_gives_a_bundle_and_an_input_too_many_is_named(tmp_path: Path) -> None:
    model = backward("GRU")
    onnx.save(model, tmp_path / "model.onnx")
    out = tmp_path / "x.treadle"
    assert run(["adopt", str(tmp_path / "model.onnx"), "--out", str(out)]) == 0
    node = next(node for node in model.graph.node if node.op_type == "MatMul")
    node.output[0] = "unscaled"
    model.graph.node.append(helper.make_node("Mul", ["unscaled", "gain"], ["y"]))
    gain = helper.make_tensor_value_info("gain", TensorProto.FLOAT, [1])
    model.graph.input.append(gain)
    onnx.save(model, tmp_path / "model.onnx")
    with pytest.raises(UnsupportedGraph, match="'gain'"):
        export_foreign(
            foreign_of_file(tmp_path / "model.onnx"), {"float32": tmp_path / "y.treadle"}
        )
