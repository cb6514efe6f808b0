"""Recurrences inside If, Loop and Scan bodies get ports, and stream as what they were."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnxruntime.quantization import quantize_dynamic

import treadle
from tests.export import control_graphs as graphs
from tests.export.foreign_graphs import FEATURES, HIDDEN
from treadle.errors import UnsupportedGraph
from treadle.tolerances import tolerance
from treadle_export.exporting.adopting import export_foreign
from treadle_export.sources.onnx_models import foreign_of_file

if TYPE_CHECKING:
    from pathlib import Path

LIMIT = tolerance("onnx step", "float32").outputs
MODELS: dict[str, Any] = {
    "scan": (graphs.scanned, 1),
    "scan-time-first": (lambda: graphs.scanned(axis=0), 1),
    "loop": (graphs.looped_over_time, 1),
    "loop-layer": (lambda: graphs.looped_over_time("GRU"), 1),
    "loop-fixed": (lambda: graphs.repeated(3), 6),
    "scan-fixed": (graphs.grouped, 2),
    "if-features": (lambda: graphs.branched("features"), 1),
}


def saved(model: onnx.ModelProto, folder: Path) -> Path:
    onnx.save(model, folder / "model.onnx")
    return folder / "model.onnx"


def adopted(model: onnx.ModelProto, folder: Path, precision: str = "float32") -> Path:
    out = folder / "x.treadle"
    report = export_foreign(foreign_of_file(saved(model, folder)), {precision: out})[precision]
    assert report.passed
    return out


FAST = {
    "float32": {"scan-time-first", "loop", "loop-fixed", "scan-fixed", "if-features"},
    "int8": {"scan", "loop-layer"},
}
CASES = [
    pytest.param(name, precision, marks=[] if name in fast else pytest.mark.slow)
    for precision, fast in FAST.items()
    for name in MODELS
]


@pytest.mark.parametrize(("name", "precision"), CASES)
def test_a_recurrence_inside_a_body_streams(name: str, precision: str, tmp_path: Path) -> None:
    make, states = MODELS[name]
    out = adopted(make(), tmp_path, precision)
    x = np.random.default_rng(8).normal(size=(3, 11, FEATURES)).astype(np.float32)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    expected = session.run(["y"], {"x": x})[0]
    with treadle.load(out) as model, model.stream(batch_size=3) as stream:
        made = np.stack([stream.step(x[:, step]) for step in range(11)], axis=1)
        assert [port.shape for port in model.manifest.graphs["step"].state] == [
            ("batch", HIDDEN) if name != "loop-layer" else ("batch", 1, HIDDEN)
        ] * states
        chunk = model.unroll(x)
    limit = LIMIT if precision == "float32" else tolerance("quantized", "int8").outputs
    assert np.abs(made - expected).max() <= limit * max(1.0, np.abs(expected).max())
    assert np.ptp(expected[:, :, 0]) > 0.05
    if precision == "int8":
        assert np.array_equal(made, chunk)


def test_a_scan_that_shows_its_state_keeps_it(tmp_path: Path) -> None:
    out = adopted(graphs.scanned_with_state(), tmp_path)
    x = np.random.default_rng(8).normal(size=(2, 7, FEATURES)).astype(np.float32)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    start = np.zeros((2, HIDDEN), np.float32)
    expected, end = session.run(["y", "h_end"], {"x": x, "h_in": start})
    with treadle.load(out) as model, model.stream(batch_size=2) as stream:
        assert np.abs(stream.unroll(x) - expected).max() <= LIMIT
        (state,) = stream.state().values()
    assert np.abs(state - end).max() <= tolerance("onnx step", "float32").absolute


def test_a_quantized_layer_inside_a_branch_streams(tmp_path: Path) -> None:
    source, path = tmp_path / "float.onnx", tmp_path / "int8.onnx"
    onnx.save(graphs.one_layer("LSTM"), source)
    quantize_dynamic(source, path)
    quantized = onnx.load(path)
    assert "DynamicQuantizeLSTM" in {node.op_type for node in quantized.graph.node}
    out = tmp_path / "x.treadle"
    foreign = foreign_of_file(saved(graphs.in_a_branch(quantized), tmp_path))
    report = export_foreign(foreign, {"int8": out})["int8"]
    assert report.invariance == {"batch": 0.0, "chunk": 0.0, "promised": True}
    with treadle.load(out) as model:
        states = model.manifest.graphs["step"].state
    assert [port.shape for port in states] == [("batch", HIDDEN), ("batch", HIDDEN)]


def refused(model: onnx.ModelProto, folder: Path) -> str:
    with pytest.raises(UnsupportedGraph) as caught:
        adopted(model, folder)
    assert not (folder / "x.treadle").exists()
    return str(caught.value)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda: graphs.branched("values"), "depends on the values of 'x' around GRU"),
        (lambda: graphs.branched("batch"), "changes with the size of the input around GRU"),
        (lambda: graphs.scanned(backward=True), "Scan node 'recurrence' that reads backwards"),
        (lambda: graphs.looped_over_time(counts=True), "to use the number of its round to take"),
        (lambda: graphs.repeated(100), "100 rounds, more than 64, around LSTM 'layer'"),
        (graphs.beside_a_loop, "got the Loop node 'polish': a bundle holds no Loop"),
    ],
)
def test_what_no_stream_can_be_is_named(model: Any, message: str, tmp_path: Path) -> None:
    assert message in refused(model(), tmp_path)
