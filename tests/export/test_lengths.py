"""`--lengths NAME`: an input that says how long each row is, where no layer reads it as such."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto

import treadle
from tests.export.foreign_graphs import FEATURES, HIDDEN, Builder
from treadle.cli import run
from treadle.errors import InputError, UnsupportedGraph
from treadle.tolerances import tolerance
from treadle_export.exporting.adopting import export_foreign
from treadle_export.sources.onnx_models import foreign_of_file

if TYPE_CHECKING:
    from numpy.typing import NDArray

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64
LIMIT = tolerance("onnx step", "float32").outputs


def with_count(use: str) -> onnx.ModelProto:
    """A layer that knows no lengths; `count` masks its outputs, or picks the last valid one."""
    b = Builder()
    x = b.op("Transpose", "x", to="xt", perm=[1, 0, 2])
    rows = b.op("Transpose", b.layer("GRU", x, "l", FEATURES), to="rows", perm=[1, 0, 2])
    one = b.constant("step", np.int64(1))
    if use == "mask":
        length = b.op("Gather", b.op("Shape", "x", to="shape"), one, to="length")
        steps = b.op("Range", b.constant("zero", np.int64(0)), length, one, to="steps")
        column = b.op("Unsqueeze", "count", b.constant("second", [1]), to="column")
        inside = b.op("Less", steps, column, to="inside")
        wide = b.op("Unsqueeze", inside, b.constant("third", [2]), to="wide")
        b.op("Where", wide, rows, b.constant("nothing", np.float32(0)), to="y")
    else:
        last = b.op("Sub", "count", one, to="last")
        place = b.op("Unsqueeze", last, b.constant("ends", [1, 2]), to="place")
        ones = b.constant("ones", np.ones((1, 1, HIDDEN), np.int64))
        index = b.op("Mul", place, ones, to="index")
        picked = b.op("GatherElements", rows, index, to="picked", axis=1)
        b.op("Squeeze", picked, b.constant("second", [1]), to="y")
    inputs: list[tuple[str, int, list[Any]]] = [
        ("x", FLOAT, ["b", "t", FEATURES]),
        ("count", INT64, ["b"]),
    ]
    return b.model(inputs, [("y", None)])


def expected(path: Path, x: NDArray[Any], lengths: NDArray[Any]) -> NDArray[Any]:
    session = onnxruntime.InferenceSession(path)
    made: NDArray[Any] = session.run(["y"], {"x": x, "count": lengths})[0]
    return made


@pytest.mark.parametrize("precision", ["float32", "int8"])
@pytest.mark.parametrize("use", ["mask", "last"])
def test_named_lengths_become_those_of_the_stream(use: str, precision: str, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(with_count(use), path)
    out = tmp_path / "x.treadle"
    report = export_foreign(foreign_of_file(path, lengths="count"), {precision: out})[precision]
    assert report.passed
    x = np.random.default_rng(6).normal(size=(3, 7, FEATURES)).astype(np.float32)
    lengths = np.array([7, 2, 5])
    made_whole = expected(path, x, lengths)
    with treadle.load(out) as model:
        made = model.unroll(x, lengths)
    limit = LIMIT if precision == "float32" else tolerance("quantized", "int8").outputs
    for row, length in enumerate(lengths):
        theirs = made_whole[row, :length] if use == "mask" else made_whole[row]
        ours = made[row, :length] if use == "mask" else made[row, length - 1]
        assert np.abs(ours - theirs).max() <= limit
        assert np.abs(made[row, length:]).max(initial=0) == 0


def test_lengths_that_nothing_tells_are_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(with_count("mask"), path)
    with pytest.raises(UnsupportedGraph, match="how long each row is with --lengths NAME"):
        foreign_of_file(path)
    with pytest.raises(InputError, match=r"an input of the model \(x, count\), got 'n'"):
        foreign_of_file(path, lengths="n")
    with pytest.raises(InputError, match=r"lengths 'x' to be int64 or int32 \[batch\], got FLOAT"):
        foreign_of_file(path, lengths="x")


def test_the_command_takes_lengths(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, out = tmp_path / "model.onnx", tmp_path / "x.treadle"
    onnx.save(with_count("last"), path)
    assert run(["adopt", str(path), "--lengths", "count", "--out", str(out), "--json"]) == 0
    capsys.readouterr()
    with treadle.load(out) as model:
        assert [tensor.name for tensor in model.manifest.graphs["step"].inputs] == ["x"]
    monkeypatch.chdir(Path(__file__).parents[2])
    other = ["adopt", "tests.export.adoptable:spotter", "--lengths", "n", "--out"]
    assert run([*other, str(tmp_path / "y.treadle")]) == 1
    assert "expected names of inputs (frames), got n" in capsys.readouterr().err
