"""Foreign graphs become streams: one step at a time they give what they give as a whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto

import treadle
from tests.export.foreign_graphs import (
    FEATURES,
    HIDDEN,
    OUTPUTS,
    PASTS,
    Builder,
    foreign,
    of_model,
)
from treadle.errors import TreadleError, UnsupportedGraph
from treadle.tolerances import tolerance
from treadle_export.adoption.adopt import Adopted, adopt
from treadle_export.engine import Arrays, Engine
from treadle_export.exporting.adopting import export_foreign
from treadle_export.passes.active_mask import with_active_mask
from treadle_export.quantization.precision import lower, precision_named

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

LIMIT = tolerance("onnx step", "float32").outputs


def stepped(adopted: Adopted, x: NDArray[Any]) -> tuple[NDArray[Any], Arrays]:
    """`x` [B, N, …] one step at a time -> outputs [B, N, V] and the states at the end."""
    graph = adopted.canonical.graphs["step"]
    engine = Engine(graph.model)
    state: Arrays = {
        port.name: np.zeros((len(x), *map(int, port.shape[1:])), port.dtype)
        for port in graph.interface.state
    }
    outputs = []
    for step in range(x.shape[1]):
        feeds = {f"state.{name}": array for name, array in state.items()}
        made = engine.run({"x": x[:, step], **feeds})
        outputs.append(made["y"])
        state = {name: made[f"next_state.{name}"] for name in state}
    return np.stack(outputs, axis=1), state


def inputs(adopted: Adopted, rows: int, steps: int) -> NDArray[np.float32]:
    shape = map(int, adopted.layout.input.shape[1:])
    random = np.random.default_rng(rows * 100 + steps)
    return random.normal(size=(rows, steps, *shape)).astype(np.float32)


def whole(adopted: Adopted, x: NDArray[Any]) -> NDArray[Any]:
    """The origin over the whole sequence."""
    flat = x.reshape(len(x), -1, FEATURES)
    return adopted.foreign.run({"x": flat})["y"]


@pytest.mark.parametrize("past", PASTS)
@pytest.mark.parametrize("cell", ["LSTM", "GRU", "RNN"])
def test_steps_give_what_the_whole_gives(cell: str, past: str) -> None:
    adopted = adopt(foreign(cell, past))
    x = inputs(adopted, 3, 17)
    outputs, _ = stepped(adopted, x)
    expected = whole(adopted, x)
    assert np.abs(outputs - expected).max() <= LIMIT * max(1, np.abs(expected).max())
    assert np.abs(outputs[:, 5:] - outputs[:, 4:5]).max() > 0.01  # it moves


@pytest.mark.parametrize("past", PASTS)
@given(rows=st.integers(1, 4), steps=st.integers(1, 9), seed=st.integers(0, 9))
@settings(max_examples=8, deadline=None)
def test_a_sequence_is_its_steps_at_every_length(
    past: str, rows: int, steps: int, seed: int
) -> None:
    adopted = _adopted(past)
    x = inputs(adopted, rows, steps)
    lengths = np.random.default_rng(seed).integers(1, steps + 1, rows)
    graph = adopted.canonical.graphs["sequence"]
    start = {
        p.input: np.zeros((rows, *map(int, p.shape[1:])), p.dtype) for p in graph.interface.state
    }
    made = Engine(graph.model).run({"x": x, "lengths": lengths, **start})
    for row, length in enumerate(lengths):
        outputs, state = stepped(adopted, x[row : row + 1, :length])
        assert np.abs(made["y"][row, :length] - outputs[0]).max() <= LIMIT
        for port in graph.interface.state:
            difference = np.abs(made[port.output][row] - state[port.name][0]).max()
            assert difference <= tolerance("onnx step", "float32").absolute


_KEPT: dict[str, Adopted] = {}


def _adopted(past: str) -> Adopted:
    if past not in _KEPT:
        _KEPT[past] = adopt(foreign("GRU", past))
    return _KEPT[past]


def test_what_looks_back_becomes_state_of_its_length() -> None:
    shapes = {
        past: {p.name: p.shape[1:] for p in _adopted(past).canonical.graphs["step"].interface.state}
        for past in PASTS
    }
    layers = {"rnn.0.hidden": (HIDDEN,), "rnn.1.hidden": (HIDDEN,)}
    assert shapes["plain"] == shapes["stacked-frames"] == shapes["pair-conv"] == layers
    assert shapes["conv"] == {**layers, "conv.0.past": (FEATURES, 4)}
    assert shapes["padded-conv"] == {**layers, "pad.0.past": (FEATURES, 2)}
    assert shapes["chomped-conv"] == {**layers, "conv.0.past": (FEATURES, 2)}
    assert shapes["strided-conv"] == {**layers, "conv.0.past": (FEATURES, 1)}
    assert shapes["zeros-before"] == {**layers, "concat.0.past": (1, FEATURES)}
    assert shapes["running-mean"] == {**layers, "position": (), "cumsum.1.total": (FEATURES,)}


def test_frames_that_go_together_are_one_step() -> None:
    for past in ("stacked-frames", "strided-conv", "pair-conv"):
        assert _adopted(past).layout.input.shape == ("batch", 2, FEATURES)


def test_an_answer_at_the_end_becomes_one_at_every_step() -> None:
    adopted = adopt(foreign("LSTM", "conv", "last"))
    x = inputs(adopted, 2, 7)
    outputs, _ = stepped(adopted, x)
    for length in (1, 4, 7):
        assert np.abs(outputs[:, length - 1] - whole(adopted, x[:, :length])).max() <= LIMIT


@pytest.mark.parametrize("precision", ["float32", "int8"])
@pytest.mark.parametrize("past", ["plain", "running-mean", "strided-conv", "pair-conv"])
def test_a_bundle_streams_chunks_and_proves_itself(
    past: str, precision: str, tmp_path: Path
) -> None:
    out = tmp_path / "x.treadle"
    report = export_foreign(foreign("LSTM", past), {precision: out})[precision]
    assert report.passed
    if precision == "int8":
        assert (report.invariance["batch"], report.invariance["chunk"]) == (0.0, 0.0)
    with treadle.load(out) as model:
        x = inputs(adopt(foreign("LSTM", past)), 2, 9)
        with model.stream(batch_size=2) as stream:
            by_step = np.stack([stream.step(x[:, step]) for step in range(9)], axis=1)
            kept = stream.snapshot()
        with model.stream(batch_size=2) as stream:
            halves = [stream.unroll(x[:, :4]), stream.unroll(x[:, 4:])]
            assert np.abs(np.concatenate(halves, axis=1) - by_step).max() <= LIMIT
        assert by_step.shape == (2, 9, OUTPUTS)
        with model.pool(2) as pool:
            members = [pool.join() for _ in range(2)]
            for step in range(9):
                answers = pool.step(dict(zip(members, x[:, step], strict=True)))
                pooled = np.stack([answers[member] for member in members])
                np.testing.assert_array_equal(pooled, by_step[:, step])
        again = model.resume(treadle.Snapshot.from_bytes(kept.to_bytes()))
        assert again.steps.tolist() == [9, 9]
        assert np.abs(model.unroll(x, np.array([9, 3]))[1, 3:]).max() == 0


@pytest.mark.parametrize("past", ["conv", "running-mean"])
def test_rows_that_are_not_active_keep_every_state(past: str) -> None:
    plain = lower(_adopted(past).canonical, precision_named("int8"))
    graph = with_active_mask(plain).graphs["step"]
    random = np.random.default_rng(2)
    state = {
        p.input: (random.normal(size=(3, *map(int, p.shape[1:]))) * 9).astype(p.dtype)
        for p in graph.interface.state
    }
    x = random.normal(size=(3, FEATURES)).astype(np.float32)
    active = np.array([True, False, True])
    made = Engine(graph.model).run({"x": x, "active": active, **state})
    for port in graph.interface.state:
        kept = made[port.output] == state[port.input]
        assert kept[1].all()
        assert not kept[0].all()


def _refused(model: Any, **options: Any) -> str:
    with pytest.raises(UnsupportedGraph) as caught:
        adopt(of_model(model, **options))
    return str(caught.value)


def _with_layer(end: str, **attributes: Any) -> Any:
    b = Builder()
    x = b.op("Transpose", "x", to="xt", perm=[1, 0, 2])
    made = b.layer("LSTM", x, "rnn.0", FEATURES, **attributes)
    if end == "mean":
        b.op("ReduceMean", made, b.constant("axes", [0]), to="y", keepdims=0)
    else:
        b.op("Identity", made, to="y")
    return b.model([("x", TensorProto.FLOAT, ["b", "t", FEATURES])], [("y", None)])


def test_a_layer_that_reads_backwards_cannot_stream() -> None:
    message = _refused(_with_layer("steps", direction="reverse"))
    assert "got the reverse LSTM node" in message
    assert "train a forward layer" in message


def test_a_mean_over_all_time_cannot_stream() -> None:
    assert "got ReduceMean node '' over the whole time axis" in _refused(_with_layer("mean"))


def test_a_model_without_state_is_no_stream() -> None:
    b = Builder()
    b.op("MatMul", "x", b.weight("w", FEATURES, OUTPUTS), to="y")
    model = b.model([("x", TensorProto.FLOAT, ["b", "t", FEATURES])], [("y", None)])
    assert "a recurrent layer or a state, got neither in 'foreign'" in _refused(model)


def test_a_batch_that_is_baked_in_is_refused() -> None:
    b = Builder()
    x = b.op("Reshape", "x", b.constant("shape", [-1, 2, FEATURES]), to="xt")
    b.op("Identity", b.layer("GRU", x, "rnn.0", FEATURES), to="y")
    message = _refused(b.model([("x", TensorProto.FLOAT, [None] * 3)], [("y", None)]))
    assert "batch, and time if it has one, can have any size" in message
    assert "treadle lint" in message


def test_a_convolution_that_pads_the_future_only_is_found_by_the_ladder(tmp_path: Path) -> None:
    b = Builder()
    x = b.op("Transpose", "x", to="channels", perm=[0, 2, 1])
    x = b.op("Conv", x, b.weight("conv.w", FEATURES, FEATURES, 3), to="c", pads=[0, 2])
    x = b.op("Transpose", x, to="xt", perm=[2, 0, 1])
    made = b.layer("GRU", x, "rnn.0", FEATURES)
    b.op("Transpose", made, to="y", perm=[1, 0, 2])
    model = b.model([("x", TensorProto.FLOAT, ["b", "t", FEATURES])], [("y", None)])
    with pytest.raises(TreadleError, match=r"'onnx (sequence|step)'"):
        export_foreign(of_model(model), {"float32": tmp_path / "x.treadle"})
    assert list(tmp_path.iterdir()) == []


def test_a_step_is_not_transposed() -> None:
    for precision in ("float32", "int8"):
        graph = lower(_adopted("plain").canonical, precision_named(precision)).graphs["step"]
        assert "Transpose" not in {node.op_type for node in graph.model.graph}
