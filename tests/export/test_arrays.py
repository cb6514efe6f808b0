"""Networks from arrays: every order says what its own framework says, and so does the graph."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import onnx_ir as ir
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from treadle.errors import InputError
from treadle.ladder import compare
from treadle_export.arrays import (
    ActivationArrays,
    BidirectionalArrays,
    DenseArrays,
    EmbeddingArrays,
    Layer,
    NormalizationArrays,
    RecurrentArrays,
    ScaleArrays,
    from_arrays,
)
from treadle_export.arrays.activations import NAMES
from treadle_export.engine import Engine
from treadle_export.passes.recurrent_weights import recurrence_of
from treadle_export.passes.rewriting import constant_array

if TYPE_CHECKING:
    from collections.abc import Sequence

    from treadle_export.engine import Arrays
    from treadle_export.foreign import Foreign

GATES: dict[str, int] = {"lstm": 4, "gru": 3, "rnn": 1}
INPUTS, HIDDEN = 5, 7

Cell = Literal["lstm", "gru", "rnn"]
Order = Literal["torch", "onnx", "keras"]
Reset = Literal["before", "after"]


def normal(random: np.random.Generator, *shape: int, scale: float = 0.5) -> np.ndarray[Any, Any]:
    return random.normal(0, scale, shape).astype(np.float32)


def layer(
    cell: Cell,
    order: Order,
    *,
    inputs: int = INPUTS,
    hidden: int = HIDDEN,
    seed: int = 0,
    **options: Any,
) -> RecurrentArrays:
    """A layer of random arrays in an order."""
    random, width = np.random.default_rng(seed), GATES[cell] * hidden
    if order == "torch":
        arrays = (normal(random, width, inputs), normal(random, width, hidden))
        biases = {"bias": normal(random, width), "recurrent_bias": normal(random, width)}
    elif order == "onnx":
        arrays = (normal(random, 1, width, inputs), normal(random, 1, width, hidden))
        biases = {"bias": normal(random, 1, 2 * width)}
    else:
        arrays = (normal(random, inputs, width), normal(random, hidden, width))
        both = cell == "gru" and options.get("reset", "after") == "after"
        biases = {"bias": normal(random, *((2, width) if both else (width,)))}
    return RecurrentArrays(cell, *arrays, order=order, **{**biases, **options})


def ragged(foreign: Foreign, batch: int, time: int, seed: int = 0) -> Arrays:
    """Inputs of random lengths, with garbage behind them."""
    random = np.random.default_rng(seed)
    (name,) = set(foreign.example) - {"lengths"}
    example = foreign.example[name]
    x: np.ndarray[Any, Any] = normal(random, batch, time, *example.shape[2:], scale=1)
    if example.ndim == 2:
        x = random.integers(0, int(example.max()) + 1, (batch, time))
    return {name: x, "lengths": random.integers(1, time + 1, batch)}


def assert_graph_is_origin(foreign: Foreign, feeds: Arrays) -> None:
    expected, actual = foreign.run(feeds)["output"], Engine(foreign.model).run(feeds)["output"]
    assert expected.shape == actual.shape
    assert expected.dtype == actual.dtype == np.float32
    if actual.ndim == 3:
        valid = np.arange(actual.shape[1]) < feeds["lengths"][:, None]
        actual = np.where(valid[..., None], actual, 0)
    assert compare("equations", "float32", states=[(expected, actual)]).passed


@st.composite
def recurrent_layers(draw: st.DrawFn) -> tuple[list[Layer], str]:
    cell: Cell = draw(st.sampled_from(["lstm", "gru", "rnn"]))
    order: Order = draw(st.sampled_from(["torch", "onnx", "keras"]))
    options: dict[str, Any] = {
        "reset": draw(st.sampled_from(["before", "after"])),
        "activation": draw(st.sampled_from(NAMES)),
        "recurrent_activation": draw(st.sampled_from(NAMES)),
        "sequences": draw(st.booleans()),
    }
    for name in ("bias", "recurrent_bias"):
        if draw(st.integers(0, 3)) == 0 and (name == "bias" or order == "torch"):
            options[name] = None
    inputs, hidden = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    seeds = draw(st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)))
    made = [layer(cell, order, inputs=inputs, hidden=hidden, seed=s, **options) for s in seeds]
    shape = draw(st.sampled_from(["forward", "backwards", "concat", "sum", "mul", "ave"]))
    if shape == "forward":
        return [made[0]], shape
    if shape == "backwards":
        options["go_backwards"] = True
        return [layer(cell, order, inputs=inputs, hidden=hidden, **options)], shape
    merge: Any = shape
    return [BidirectionalArrays(made[0], made[1], merge)], shape


@given(
    layers=recurrent_layers(),
    batch=st.integers(1, 4),
    time=st.integers(1, 6),
    seed=st.integers(0, 10**6),
)
def test_the_graph_says_what_the_equations_say(
    layers: tuple[list[Layer], str], batch: int, time: int, seed: int
) -> None:
    foreign = from_arrays(layers[0])
    assert_graph_is_origin(foreign, ragged(foreign, batch, time, seed))


NAMES_OF_TORCH = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
TORCH = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "rnn": torch.nn.RNN}


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_the_order_of_torch_is_that_of_torch(cell: Cell, *, bidirectional: bool) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        module = TORCH[cell](INPUTS, HIDDEN, batch_first=True, bidirectional=bidirectional)
    parameters = {name: p.detach().numpy() for name, p in module.named_parameters()}

    def read(suffix: str) -> RecurrentArrays:
        w, r, b, rb = (parameters[f"{name}_l0{suffix}"] for name in NAMES_OF_TORCH)
        return RecurrentArrays(cell, w, r, b, rb, order="torch")

    both = BidirectionalArrays(read(""), read("_reverse")) if bidirectional else read("")
    foreign = from_arrays([both])
    x = normal(np.random.default_rng(0), 3, 6, INPUTS, scale=1)
    with torch.no_grad():
        expected = module(torch.from_numpy(x))[0].numpy()
    actual = foreign.run({"x": x})["output"]
    assert compare("equations", "float32", states=[(expected, actual)]).passed
    feeds = {"x": x, "lengths": np.full(3, 6)}
    graph = Engine(foreign.model).run(feeds)["output"]
    assert compare("onnx sequence", "float32", states=[(expected, graph)]).passed


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize("reset", ["before", "after"])
def test_the_order_of_onnx_is_written_as_it_came(cell: Cell, reset: Reset) -> None:
    arrays = layer(cell, "onnx", reset=reset)
    node = next(n for n in from_arrays([arrays]).model.graph if n.op_type in ("LSTM", "GRU", "RNN"))
    given = [constant_array(value) for value in node.inputs[1:4]]
    for written, came in zip(
        given, (arrays.input_weights, arrays.recurrent_weights, arrays.bias), strict=True
    ):
        np.testing.assert_array_equal(written, came)


def test_both_directions_of_an_onnx_node_are_taken_apart() -> None:
    one, two = layer("gru", "onnx", seed=1), layer("gru", "onnx", seed=2)
    stacked = [
        np.concatenate([getattr(one, name), getattr(two, name)])
        for name in ("input_weights", "recurrent_weights", "bias")
    ]
    apart = from_arrays([BidirectionalArrays(one, two)])
    together = from_arrays([BidirectionalArrays.from_onnx("gru", *stacked)])
    feeds = ragged(apart, 3, 5)
    np.testing.assert_array_equal(apart.run(feeds)["output"], together.run(feeds)["output"])
    with pytest.raises(InputError, match="expected arrays of two directions"):
        BidirectionalArrays.from_onnx("gru", stacked[0][:1], stacked[1])


def stack(order: Order = "keras") -> list[Layer]:
    """One of everything, behind an embedding."""
    random = np.random.default_rng(3)
    weights = normal(random, 8, 4)
    return [
        EmbeddingArrays(normal(random, 11, INPUTS)),
        BidirectionalArrays(layer("lstm", order, seed=1), layer("lstm", order, seed=2)),
        NormalizationArrays(normal(random, 14), normal(random, 14), 1e-3),
        layer("gru", order, inputs=14, hidden=6, seed=3, reset="before"),
        ScaleArrays(normal(random, 6), normal(random, 6)),
        DenseArrays(normal(random, 6, 8), normal(random, 8), "relu"),
        ActivationArrays("hard_sigmoid"),
        DenseArrays(weights.T if order == "torch" else weights, None, "softmax", order),
    ]


@pytest.mark.parametrize("order", ["torch", "onnx", "keras"])
def test_a_stack_of_everything(order: Order) -> None:
    foreign = from_arrays(stack(order))
    assert_graph_is_origin(foreign, ragged(foreign, 4, 9))


def test_ports_and_names_are_those_of_the_contract() -> None:
    foreign = from_arrays(stack(), name="mine")
    inputs = {value.name: (value.dtype, value.shape) for value in foreign.model.graph.inputs}
    assert inputs == {
        "token": (ir.DataType.INT64, ir.Shape(["batch", "time"])),
        "lengths": (ir.DataType.INT64, ir.Shape(["batch"])),
    }
    (output,) = foreign.model.graph.outputs
    assert (output.name, output.shape) == ("output", ir.Shape(["batch", "time", 4]))
    nodes = [n for n in foreign.model.graph if n.op_type in ("LSTM", "GRU", "RNN")]
    assert [recurrence_of(node).name for node in nodes] == ["recurrent.0", "recurrent.1"]
    for node in nodes:
        lengths = node.inputs[4].producer() if node.inputs[4] is not None else None
        assert lengths is not None
        assert (lengths.op_type, lengths.inputs[0].name) == ("Cast", "lengths")  # type: ignore[union-attr]
        assert all(value is None for value in node.inputs[5:])
    assert foreign.lengths == "lengths"
    assert foreign.name == "mine"
    assert_graph_is_origin(foreign, foreign.example)


def test_a_tiny_layer_keeps_its_names() -> None:
    """Constants below a size are named after their content; weights must not be."""
    foreign = from_arrays([layer("rnn", "keras", inputs=1, hidden=1, name="tiny")])
    assert {"tiny.w", "tiny.r", "tiny.b"} <= set(foreign.model.graph.initializers)


def test_a_last_state_has_no_time_axis() -> None:
    foreign = from_arrays([layer("lstm", "keras", sequences=False)])
    (output,) = foreign.model.graph.outputs
    assert output.shape == ir.Shape(["batch", HIDDEN])


def test_origin_rows_do_not_see_their_padding() -> None:
    foreign = from_arrays([layer("gru", "keras", go_backwards=True)])
    feeds = ragged(foreign, 4, 6)
    longer = np.concatenate([feeds["x"], normal(np.random.default_rng(9), 4, 3, INPUTS)], axis=1)
    padded = foreign.run({"x": longer, "lengths": feeds["lengths"]})["output"]
    np.testing.assert_array_equal(padded[:, :6], foreign.run(feeds)["output"])
    assert not padded[:, 6:].any()


WRONG: list[tuple[Sequence[Layer], str]] = [
    ([], "got no layer at all"),
    ([DenseArrays(np.zeros((2, 3)))], "at least one recurrent layer, got DenseArrays"),
    (
        [RecurrentArrays("lstm", np.zeros((28, 5)), np.zeros((28, 7)), order="keras")],
        r"recurrent_weights of .* \(lstm, order keras\) of shape \[28, 112\], got \[28, 7\]",
    ),
    (
        [RecurrentArrays("gru", np.zeros((5, 20)), np.zeros((7, 21)), order="keras")],
        r"expected input_weights of .* of shape \[5, 21\], got \[5, 20\]",
    ),
    (
        [RecurrentArrays("gru", np.zeros((5, 21)), np.zeros((7, 21)), np.zeros(21))],
        r"expected bias of .* of shape \[2, 21\], got \[21\]",
    ),
    (
        [RecurrentArrays("rnn", np.zeros((7, 5)), np.zeros((7, 7)), order="onnx")],
        r"of 3 axes, got the shape \[7, 5\]",
    ),
    (
        [RecurrentArrays("rnn", np.zeros((5, 7)), np.zeros((7, 7)), None, np.zeros(7))],
        "expected no recurrent_bias",
    ),
    ([RecurrentArrays("rnn", np.zeros((5, 7), int), np.zeros((7, 7)))], "floating-point numbers"),
    ([RecurrentArrays("rnn", np.full((5, 7), np.nan), np.zeros((7, 7)))], "NaN or infinity"),
    ([layer("lstm", "keras"), layer("lstm", "keras")], r"shape \[7, 28\], got \[5, 28\]"),
    (
        [layer("lstm", "keras", sequences=False), layer("lstm", "keras", inputs=HIDDEN)],
        "set sequences=True",
    ),
    ([layer("lstm", "keras", activation="gelu")], "expected an activation of linear, tanh"),
    ([layer("lstm", "keras", activation="softmax")], "got 'softmax'"),
    (
        [replace(layer("lstm", "keras"), order="caffe")],  # type: ignore[arg-type]
        "expected order of torch, keras, onnx",
    ),
    ([layer("gru", "keras", reset="between")], "expected reset of before, after"),
    (
        [layer("rnn", "keras", name="a"), layer("rnn", "keras", inputs=HIDDEN, name="a")],
        "got 'a' twice",
    ),
    ([layer("rnn", "keras"), EmbeddingArrays(np.zeros((3, 7)))], "only as the first layer"),
    ([ActivationArrays("tanh"), layer("rnn", "keras")], "how many features it reads"),
    (
        [BidirectionalArrays(layer("lstm", "keras"), layer("gru", "keras"))],
        "the same cell, got LSTM and GRU",
    ),
    (
        [BidirectionalArrays(layer("rnn", "keras"), layer("rnn", "keras"), "max")],  # type: ignore[arg-type]
        "expected a merge of concat",
    ),
    (
        [layer("rnn", "keras"), DenseArrays(np.zeros((2, HIDDEN)))],
        r"expected weights of layer 'dense.0' \(order keras\) of shape \[7, 7\], got \[2, 7\]",
    ),
]


@pytest.mark.parametrize(("layers", "message"), WRONG, ids=[message for _, message in WRONG])
def test_wrong_arrays_are_errors_that_say_what_was_expected(
    layers: Sequence[Layer], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        from_arrays(layers)


@pytest.mark.parametrize(
    ("feeds", "message"),
    [
        ({}, "expected an input 'token' of 2 axes, got none"),
        ({"token": np.zeros((2, 3, 4))}, r"got the shape \[2, 3, 4\]"),
        ({"token": np.full((2, 3), 11)}, "expected ids from 0 to 10, got 11 to 11"),
        (
            {"token": np.ones((2, 3), int), "lengths": np.array([3, 4])},
            r"from 1 to 3 .* got \[3, 4\]",
        ),
        ({"token": np.ones((2, 3), int), "lengths": np.array([0, 3])}, "leave empty rows out"),
        ({"token": np.ones((2, 3), int), "lengths": np.array([1.0])}, "lengths of 2 integers"),
        ({"token": np.ones((0, 3), int)}, "from 1 to 3 for an input"),
    ],
)
def test_wrong_inputs_of_a_run_are_errors(feeds: Arrays, message: str) -> None:
    with pytest.raises(InputError, match=message):
        from_arrays(stack()).run(feeds)
