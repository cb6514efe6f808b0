"""Files from elsewhere: states they carry already, controls that are fixed, files that are none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper
from onnxruntime.quantization import QuantType, quantize_dynamic

import treadle
from tests.export.foreign_graphs import FEATURES, HIDDEN, OUTPUTS, Builder
from treadle.errors import ExportError, InputError, UnsupportedGraph
from treadle_export.exporting.adopting import export_foreign
from treadle_export.foreign import StatePair
from treadle_export.sources.onnx_models import foreign_of_file

if TYPE_CHECKING:
    from pathlib import Path

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64


def saved(model: onnx.ModelProto, folder: Path, name: str = "model.onnx") -> Path:
    onnx.save(model, folder / name)
    return folder / name


def cell_in_primitives(
    *, state_shape: list[Any], names: tuple[str, str] = ("state", "stateN"), opset: int = 17
) -> onnx.ModelProto:
    """One Elman step, h and its other half packed in one tensor [2, batch, H]."""
    b = Builder()
    first, second = b.constant("first", np.int64(0)), b.constant("second", np.int64(1))
    h = b.op("Gather", names[0], first, to="h", axis=0)
    c = b.op("Gather", names[0], second, to="c", axis=0)
    x = b.op("MatMul", "x", b.weight("w", FEATURES, HIDDEN), to="wx")
    r = b.op("MatMul", h, b.weight("r", HIDDEN, HIDDEN), to="rh")
    kept = b.op("Mul", c, b.constant("decay", np.float32(0.9)), to="kept")
    new_c = b.op("Tanh", b.op("Add", b.op("Add", x, r, to="sum"), kept, to="total"), to="new_c")
    new_h = b.op("Sigmoid", new_c, to="new_h")
    axis = b.constant("axis", [0])
    rows = [b.op("Unsqueeze", v, axis, to=f"{v}.row") for v in (new_h, new_c)]
    b.op("Concat", *rows, to=names[1], axis=0)
    b.op("MatMul", new_h, b.weight("o", HIDDEN, OUTPUTS), to="prob")
    inputs = [("x", FLOAT, [0, FEATURES]), (names[0], FLOAT, state_shape)]
    return b.model(inputs, [("prob", ["b", OUTPUTS]), (names[1], [2, "b", HIDDEN])], opset)


def carried_by_hand(path: Path, x: np.ndarray) -> np.ndarray:
    """The file in onnxruntime, its packed state carried: [N, F] -> [N, OUTPUTS]."""
    model = onnx.load(path)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.ClearField("shape")
    session = onnxruntime.InferenceSession(model.SerializeToString())
    state, outputs = np.zeros((2, 1, HIDDEN), np.float32), []
    for row in x:
        prob, state = session.run(["prob", "stateN"], {"x": row[None], "state": state})
        outputs.append(prob[0])
    return np.stack(outputs)


@pytest.mark.parametrize("shape", [[2, "batch", HIDDEN], [2, 0, HIDDEN], [2, 1, HIDDEN]])
def test_a_packed_state_becomes_a_port_whatever_it_declares(
    shape: list[Any], tmp_path: Path
) -> None:
    path = saved(cell_in_primitives(state_shape=shape), tmp_path)
    foreign = foreign_of_file(path)
    assert foreign.states == (StatePair("state", "stateN"),)
    out = tmp_path / "x.treadle"
    assert export_foreign(foreign, {"float32": out})["float32"].passed
    x = np.random.default_rng(4).normal(size=(20, FEATURES)).astype(np.float32)
    with treadle.load(out) as model, model.stream(batch_size=3) as stream:
        made = np.stack([stream.step(np.stack([row] * 3)) for row in x], axis=1)
        assert stream.state()["state"].shape == (3, 2, HIDDEN)
    expected = carried_by_hand(path, x)
    assert np.abs(made - expected).max() <= 1e-6
    assert np.ptp(expected[:, 0]) > 0.05


def test_a_pair_that_no_name_tells_is_named_by_the_user(tmp_path: Path) -> None:
    model = cell_in_primitives(state_shape=[2, "b", HIDDEN], names=("alpha", "omega"))
    model.graph.output.append(helper.make_tensor_value_info("wx", FLOAT, None))
    path = saved(model, tmp_path)
    pair = StatePair("alpha", "omega")
    assert foreign_of_file(path, states=[pair]).states == (pair,)
    with pytest.raises(
        InputError, match=r"out of the inputs x, alpha and the outputs .*got a=omega"
    ):
        foreign_of_file(path, states=[StatePair("a", "omega")])


def test_a_state_that_comes_back_in_another_shape_is_refused(tmp_path: Path) -> None:
    path = saved(cell_in_primitives(state_shape=[2, "b", HIDDEN]), tmp_path)
    foreign = foreign_of_file(path, states=[StatePair("state", "prob")])
    with pytest.raises(UnsupportedGraph, match="in the shape that it went in"):
        export_foreign(foreign, {"float32": tmp_path / "x.treadle"})


def test_a_state_whose_other_half_has_another_size_is_named(tmp_path: Path) -> None:
    model = cell_in_primitives(state_shape=[2, "b", HIDDEN])
    model.graph.output[1].CopyFrom(
        helper.make_tensor_value_info("stateN", FLOAT, [2, "b", HIDDEN + 1])
    )
    words = r"'state' to come back .* \[2, 'b', 10\], got 'stateN', float \[2, 'b', 11\]"
    with pytest.raises(UnsupportedGraph, match=words):
        foreign_of_file(saved(model, tmp_path))


def layered(kind: str = "LSTM", *, states: bool = False, opset: int = 17) -> onnx.ModelProto:
    """A recurrent layer over a sequence, its states perhaps inputs and outputs."""
    b = Builder()
    x = b.op("Transpose", "x", to="xt", perm=[1, 0, 2])
    made = b.layer(kind, x, "l", FEATURES)
    b.op("Transpose", made, to="y", perm=[1, 0, 2])
    inputs, outputs = [("x", FLOAT, ["b", "t", FEATURES])], [("y", ["b", "t", HIDDEN])]
    if states:
        node = next(node for node in b.nodes if node.op_type == kind)
        parts = ["h", "c"] if kind == "LSTM" else ["h"]
        node.input.extend(["", *(f"{part}0" for part in parts)])
        node.output[1] = "hn"
        node.output.extend(f"{part}n" for part in parts[1:])
        inputs += [(f"{part}0", FLOAT, [1, "b", HIDDEN]) for part in parts]
        outputs += [(f"{part}n", [1, "b", HIDDEN]) for part in parts]
    return b.model(inputs, outputs, opset)


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("states", [False, True])
def test_a_layer_streams_whether_it_shows_its_states_or_not(
    kind: str, states: bool, tmp_path: Path
) -> None:
    path = saved(layered(kind, states=states), tmp_path)
    out = tmp_path / "x.treadle"
    export_foreign(foreign_of_file(path), {"float32": out})
    with treadle.load(out) as model:
        graph = model.manifest.graphs["step"]
        assert graph.state[0].name == "l.hidden"
        assert [tensor.name for tensor in graph.outputs] == ["y"]


def test_what_others_quantized_keeps_its_weights_and_loses_its_company(tmp_path: Path) -> None:
    model = layered("LSTM")
    model.graph.output.pop()
    head = np.random.default_rng(6).normal(size=(HIDDEN, OUTPUTS)).astype(np.float32)
    model.graph.initializer.append(onnx.numpy_helper.from_array(head, "head"))
    model.graph.node.append(helper.make_node("MatMul", ["y", "head"], ["z"]))
    model.graph.output.append(helper.make_tensor_value_info("z", FLOAT, ["b", "t", OUTPUTS]))
    source, path = saved(model, tmp_path), tmp_path / "int8.onnx"
    quantize_dynamic(source, path, weight_type=QuantType.QInt8)
    kinds = {node.op_type for node in onnx.load(path).graph.node}
    assert {"DynamicQuantizeLSTM", "MatMulInteger"} <= kinds
    out = tmp_path / "x.treadle"
    report = export_foreign(foreign_of_file(path), {"int8": out})["int8"]
    assert report.invariance == {"batch": 0.0, "chunk": 0.0, "promised": True}
    x = np.random.default_rng(9).normal(size=(1, 30, FEATURES)).astype(np.float32)
    exact = onnxruntime.InferenceSession(source).run(None, {"x": x})[0]
    theirs = onnxruntime.InferenceSession(path).run(None, {"x": x})[0]
    with treadle.load(out) as model:
        ours = model.unroll(x)
    assert np.abs(ours - exact).max() <= 1.5 * np.abs(theirs - exact).max()


def voice_detector() -> onnx.ModelProto:
    """One layer for each sampling rate, chosen by a control input."""
    b = Builder()

    def branch(name: str, gain: float) -> Any:
        inner = Builder()
        inner.random = np.random.default_rng(int(gain * 10))
        x = inner.op("Transpose", "x", to=f"{name}.xt", perm=[1, 0, 2])
        made = inner.layer("GRU", x, f"{name}.layer", FEATURES)
        inner.nodes[-1].input[1] = "one"
        inner.weights.pop("one")
        inner.op("Transpose", made, to=f"{name}.y", perm=[1, 0, 2])
        b.weights.update(inner.weights)
        out = helper.make_tensor_value_info(f"{name}.y", FLOAT, None)
        return helper.make_graph(inner.nodes, name, [], [out])

    b.constant("one", [1])
    rate = b.op("Equal", "sr", b.constant("wideband", np.int64(16000)), to="wide")
    b.op("If", rate, to="y", then_branch=branch("wide16", 1.0), else_branch=branch("narrow8", 2.0))
    return b.model([("x", FLOAT, ["b", "t", FEATURES]), ("sr", INT64, [])], [("y", None)])


@pytest.mark.parametrize("rate", [16000, 8000])
def test_a_control_is_fixed_and_the_other_branch_goes(rate: int, tmp_path: Path) -> None:
    path = saved(voice_detector(), tmp_path)
    foreign = foreign_of_file(path, fixed={"sr": str(rate)})
    assert "If" not in {node.op_type for node in foreign.model.graph}
    out = tmp_path / "x.treadle"
    export_foreign(foreign, {"float32": out})
    x = np.random.default_rng(0).normal(size=(1, 6, FEATURES)).astype(np.float32)
    with treadle.load(out) as model:
        made = model.unroll(x)
    session = onnxruntime.InferenceSession(path)
    expected = session.run(None, {"x": x, "sr": np.array(rate)})[0]
    assert np.abs(made - expected).max() <= 1e-6


def test_a_control_that_is_not_there_or_no_number(tmp_path: Path) -> None:
    path = saved(voice_detector(), tmp_path)
    with pytest.raises(InputError, match=r"an input of the model \(x, sr\), got 'rate'"):
        foreign_of_file(path, fixed={"rate": "1"})
    with pytest.raises(InputError, match="a number of type int64 for sr, got 'fast'"):
        foreign_of_file(path, fixed={"sr": "fast"})


def test_an_input_too_many_is_named(tmp_path: Path) -> None:
    path = saved(voice_detector(), tmp_path)
    with pytest.raises(
        UnsupportedGraph, match="one input that changes at every step, got 'x', 'sr'"
    ) as caught:
        foreign_of_file(path)
    assert "'sr' chooses between branches with the layers GRU" in str(caught.value)
    assert "--fix sr=16000" in str(caught.value)


def test_an_operator_of_its_own_is_named(tmp_path: Path) -> None:
    model = layered()
    model.graph.node.append(helper.make_node("Polish", ["y"], ["z"], domain="acme.ai"))
    model.opset_import.append(helper.make_opsetid("acme.ai", 1))
    with pytest.raises(UnsupportedGraph, match=r"got acme\.ai:Polish"):
        foreign_of_file(saved(model, tmp_path))


@pytest.mark.parametrize("content", [b"", b"not a model", None])
def test_a_file_that_is_no_model(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ExportError, match="expected an ONNX model in"):
        foreign_of_file(path)


def test_a_truncated_file_is_an_error(tmp_path: Path) -> None:
    whole = saved(layered(), tmp_path).read_bytes()
    for cut in (10, len(whole) // 2, len(whole) - 3):
        (tmp_path / "cut.onnx").write_bytes(whole[:cut])
        with pytest.raises(ExportError):
            foreign_of_file(tmp_path / "cut.onnx")
