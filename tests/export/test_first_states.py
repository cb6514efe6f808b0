"""Initial states with values of their own: the row that every stream starts from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from onnx import TensorProto
from torch import nn

import treadle
from tests.export import control_graphs
from tests.export.foreign_graphs import FEATURES, HIDDEN, Builder, of_model
from treadle.errors import UnsupportedGraph
from treadle.tolerances import tolerance
from treadle_export.adoption.adopt import adopt
from treadle_export.exporting.adopting import export_foreign
from treadle_export.exporting.requantize import requantize
from treadle_export.torch_modules import foreign_of

if TYPE_CHECKING:
    from pathlib import Path

    import onnx
    from numpy.typing import NDArray

    from treadle_export.foreign import Foreign

LIMIT = tolerance("onnx step", "float32").outputs
ROW = np.linspace(-2, 1.5, HIDDEN, dtype=np.float32)


def layered(start: str, kind: str = "GRU") -> onnx.ModelProto:
    """A layer that starts from ROW: a constant of one row, one expanded to the rows of `x`."""
    b = Builder()
    x = b.op("Transpose", "x", to="xt", perm=[1, 0, 2])
    made = b.layer(kind, x, "l", FEATURES)
    if start == "one row":
        first = b.constant("h0", ROW.reshape(1, 1, -1))
    elif start == "different rows":
        first = b.constant("h0", np.stack([ROW, -ROW])[None])
    elif start == "from data":
        b.weight("bridge", FEATURES, HIDDEN)
        b.op("ReduceMean", "x", b.constant("over", [1]), to="mean", keepdims=0)
        b.op("MatMul", "mean", "bridge", to="bridged")
        first = b.op("Unsqueeze", "bridged", b.constant("front", [0]), to="h0")
    else:
        shape = b.op("Shape", "x", to="shape")
        rows = b.op("Slice", shape, b.constant("a", [0]), b.constant("z", [1]), to="rows")
        ends = [b.constant("one_more", [1]), rows, b.constant("wide", [HIDDEN])]
        full = b.op("Concat", *ends, to="full", axis=0)
        row = b.constant("learned", ROW.reshape(1, 1, -1))
        tanh = b.op("Tanh", row, to="bounded")
        first = b.op("Expand", tanh, full, to="h0")
    node = next(node for node in b.nodes if node.op_type == kind)
    node.input.extend(["", first, first][: 3 if kind == "LSTM" else 2])
    b.nodes.append(b.nodes.pop(b.nodes.index(node)))
    b.nodes.append(b.nodes.pop(next(i for i, n in enumerate(b.nodes) if n.op_type == "Squeeze")))
    b.op("Transpose", made, to="y", perm=[1, 0, 2])
    return b.model([("x", TensorProto.FLOAT, ["b", "t", FEATURES])], [("y", None)])


def streamed(out: Path, x: NDArray[Any]) -> NDArray[Any]:
    with treadle.load(out) as model, model.stream(batch_size=len(x)) as stream:
        steps = [stream.step(x[:, step]) for step in range(x.shape[1])]
        return np.stack(steps, axis=1)


def written(foreign: Foreign, folder: Path, precision: str = "float32") -> Path:
    out = folder / "x.treadle"
    assert export_foreign(foreign, {precision: out})[precision].passed
    return out


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_a_learned_state_is_where_every_stream_starts(kind: str, tmp_path: Path) -> None:
    foreign = of_model(layered("expanded", kind))
    x = np.random.default_rng(2).normal(size=(3, 9, FEATURES)).astype(np.float32)
    out = written(foreign, tmp_path)
    assert np.abs(streamed(out, x) - foreign.run({"x": x})["y"]).max() <= LIMIT
    with treadle.load(out) as model, model.stream(batch_size=2) as stream:
        for state in stream.state().values():
            assert np.abs(state - np.tanh(ROW)).max() <= 1e-6


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_a_baked_row_serves_any_batch(precision: str, tmp_path: Path) -> None:
    foreign = of_model(layered("one row"))
    x = np.random.default_rng(2).normal(size=(3, 9, FEATURES)).astype(np.float32)
    out = written(foreign, tmp_path, precision)
    expected = np.concatenate([foreign.run({"x": row[None]})["y"] for row in x])
    limit = LIMIT if precision == "float32" else tolerance("quantized", "int8").outputs
    assert np.abs(streamed(out, x) - expected).max() <= limit * 2  # |h| begins at 2
    with treadle.load(out) as model:
        (port,) = model.manifest.graphs["step"].state
        assert port.initial == {"file": "initial.npz", "name": "l.hidden"}
        assert port.bound == 2.0
        assert np.array_equal(model.unroll(x[:1]), streamed(out, x[:1])) or precision == "float32"


def test_requantizing_keeps_the_row(tmp_path: Path) -> None:
    plain = written(of_model(layered("one row")), tmp_path)
    report = requantize(plain, tmp_path / "int8.treadle", "int8")
    assert report.invariance == {"batch": 0.0, "chunk": 0.0, "promised": True}
    with treadle.load(tmp_path / "int8.treadle") as model, model.stream() as stream:
        assert np.array_equal(stream.state()["l.hidden"], ROW[None])


def test_what_a_scan_starts_from_is_kept(tmp_path: Path) -> None:
    foreign = of_model(control_graphs.scanned(fill=0.75))
    x = np.random.default_rng(2).normal(size=(2, 9, FEATURES)).astype(np.float32)
    out = written(foreign, tmp_path)
    assert np.abs(streamed(out, x) - foreign.run({"x": x})["y"]).max() <= LIMIT
    with treadle.load(out) as model, model.stream() as stream:
        assert (next(iter(stream.state().values())) == 0.75).all()


class Learned(nn.Module):
    """A GRU that starts from a parameter, as PyTorch users write it."""

    def __init__(self) -> None:
        super().__init__()
        self.start = nn.Parameter(torch.from_numpy(ROW.copy()))
        self.rnn = nn.GRU(FEATURES, HIDDEN, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        start = self.start.expand(1, x.shape[0], HIDDEN).contiguous()
        y: torch.Tensor = self.rnn(x, start)[0]
        return y


def test_a_torch_parameter_is_where_the_stream_starts(tmp_path: Path) -> None:
    torch.manual_seed(4)
    module = Learned()
    out = written(foreign_of(module, torch.randn(2, 8, FEATURES)), tmp_path)
    x = torch.randn(3, 6, FEATURES)
    with torch.no_grad():
        expected = module(x).numpy()
    assert np.abs(streamed(out, x.numpy()) - expected).max() <= LIMIT


@pytest.mark.parametrize(
    ("start", "message"),
    [
        ("different rows", "all rows of a batch to start from the same state at GRU node"),
        ("from data", "got the result of Unsqueeze 'h0', computed from 'x'"),
    ],
)
def test_what_is_no_start_of_a_stream_is_refused(start: str, message: str) -> None:
    with pytest.raises(UnsupportedGraph, match=message):
        adopt(of_model(layered(start)))
