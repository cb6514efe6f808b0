"""Files as PyTorch and onnxruntime write them, and Treadle's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest
import torch

from tests.export.lint import torch_exports as torches
from tests.export.lint.torch_exports import CellLoop, Packer, Reader, Streamer, example, zeros
from tests.export.small_models import canonical, lowered
from treadle.session import engine_errors
from treadle_export.lint import lint

if TYPE_CHECKING:
    from pathlib import Path

    from treadle_export.canonical import CanonicalModel

FREE = {0: "batch", 1: "time"}
FROZEN = {"frozen-batch", "frozen-time"}
STATELESS = {"baked-initial-state", "lost-final-state"}


def worse_than_notes(path: Path) -> set[str]:
    return {finding.check for finding in lint(path).findings if finding.severity != "note"}


def refuses_other_sizes(path: Path) -> bool:
    """Whether onnxruntime turns away another batch and time than those of the export."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    other = np.zeros((torches.BATCH + 2, torches.TIME + 4, torches.FEATURES), np.float32)
    try:
        (answer, *_) = session.run(None, {"x": other})
    except engine_errors():
        return True
    assert answer.shape[:2] == other.shape[:2]
    return False


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_the_older_exporter_with_fixed_sizes(kind: str, tmp_path: Path) -> None:
    path = torches.older(Reader(kind), tmp_path / "model.onnx", example())
    assert worse_than_notes(path) == FROZEN | STATELESS
    assert lint(path).recurrent_layers == 1
    assert refuses_other_sizes(path)


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_the_older_exporter_with_free_axes(kind: str, tmp_path: Path) -> None:
    path = torches.older(Reader(kind), tmp_path / "model.onnx", example(), axes={"x": FREE})
    assert worse_than_notes(path) == STATELESS
    assert not refuses_other_sizes(path)


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_a_state_that_comes_in_and_goes_out(kind: str, tmp_path: Path) -> None:
    states = [zeros(), zeros()] if kind == "LSTM" else [zeros()]
    axes = {"x": FREE, "input1": {1: "batch"}, "input2": {1: "batch"}}
    axes = {name: axes[name] for name in ["x", "input1", "input2"][: 1 + len(states)]}
    path = torches.older(Streamer(kind), tmp_path / "model.onnx", example(), *states, axes=axes)
    assert worse_than_notes(path) == set()


def test_layers_on_each_other_are_judged_each(tmp_path: Path) -> None:
    network = Reader("LSTM", num_layers=2)
    report = lint(torches.older(network, tmp_path / "model.onnx", example(), axes={"x": FREE}))
    lost = [finding.node for finding in report.findings if finding.check == "lost-final-state"]
    assert report.recurrent_layers == 2
    assert len(set(lost)) == 2


def test_packed_sequences_know_their_lengths(tmp_path: Path) -> None:
    network, path = Packer("GRU", bidirectional=True), tmp_path / "model.onnx"
    lengths = torch.tensor([5, 4, 2])
    axes = {"x": FREE, "input1": {0: "batch"}}
    torches.older(network, path, example(), lengths, axes=axes)
    assert {finding.check for finding in lint(path).findings} == {"bidirectional"}


@pytest.mark.parametrize("kind", ["GRUCell", "RNNCell"])
def test_a_loop_over_a_cell_is_written_out(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    torches.older(CellLoop(kind), path, example(), axes={"x": {0: "batch"}})
    (finding,) = [found for found in lint(path).findings if found.check == "unrolled"]
    assert "as 5 steps" in finding.message
    assert "'cell.weight_hh'" in finding.message


def test_the_newer_exporter_leaves_weights_to_be_computed(tmp_path: Path) -> None:
    # Large weights are not folded; the sizes that it writes on outputs are not to be believed.
    network, path = Reader("LSTM", size=72, bidirectional=True), tmp_path / "model.onnx"
    torches.newer(network, path, example(), free=True)
    assert worse_than_notes(path) == {"computed-weights", "ignored-lengths"}
    assert not refuses_other_sizes(path)
    small = torches.quantized(path)
    assert "unquantized-recurrence" in worse_than_notes(small)


def test_the_newer_exporter_writes_an_rnn_out(tmp_path: Path) -> None:
    path = torches.newer(Reader("RNN"), tmp_path / "model.onnx", example(), free=False)
    report = lint(path)
    assert report.recurrent_layers == 0
    assert {finding.check for finding in report.findings} == {"unrolled", "no-recurrence"}


def test_the_quantizer_leaves_a_gru_in_float32(tmp_path: Path) -> None:
    path = torches.older(Reader("GRU"), tmp_path / "model.onnx", example(), axes={"x": FREE})
    expected = {"unquantized-recurrence", "tensor-wise-scale"}
    assert worse_than_notes(torches.quantized(path)) - STATELESS == expected | {
        "saturating-product"
    }
    reduced = torches.quantized(path, reduced=True)
    assert worse_than_notes(reduced) - STATELESS == expected
    unsigned = torches.quantized(path, unsigned=True)
    assert worse_than_notes(unsigned) - STATELESS == expected


def test_the_quantizer_makes_an_lstm_that_saturates(tmp_path: Path) -> None:
    path = torches.older(Reader("LSTM"), tmp_path / "model.onnx", example(), axes={"x": FREE})
    small = torches.quantized(path, unsigned=True)
    report = lint(small)
    assert report.recurrent_layers == 1
    assert worse_than_notes(small) - STATELESS == {"saturating-product", "tensor-wise-scale"}
    told = [found.message for found in report.findings if found.check == "saturating-product"]
    # Unsigned weights were asked for; those of the LSTM are signed all the same.
    assert len(told) == 1
    assert "DynamicQuantizeLSTM" in told[0]
    reduced = torches.quantized(path, reduced=True)
    assert worse_than_notes(reduced) - STATELESS == {"tensor-wise-scale"}


def own_files(model: CanonicalModel, directory: Path) -> list[Path]:
    paths = []
    for name, graph in model.graphs.items():
        paths.append(directory / f"{name}.onnx")
        ir.save(graph.model, paths[-1])
    return paths


@pytest.mark.parametrize("kind", ["gru-before-model", "lstm-general"])
@pytest.mark.parametrize("precision", ["canonical", "float32", "int8"])
def test_nothing_is_to_be_mended_in_our_own_graphs(
    kind: str, precision: str, tmp_path: Path
) -> None:
    model = canonical(kind) if precision == "canonical" else lowered(kind, precision)
    for path in own_files(model, tmp_path):
        assert worse_than_notes(path) == set(), path.name
    if precision == "canonical":
        found = {f.check for path in own_files(model, tmp_path) for f in lint(path).findings}
        expected = {"reset-gate-side", "cuda-fallback"} if "gru" in kind else {"bidirectional"}
        assert found == expected
