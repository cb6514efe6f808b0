"""Lowered layers keep the activations that their nodes name, and their bounds hold."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.export.recurrent_nodes import PARAMETERS, Case, weight
from treadle.errors import ExportError, UnsupportedGraph
from treadle.ladder import compare
from treadle.tolerances import tolerance
from treadle_export.canonical import BOUND
from treadle_export.engine import Arrays, Engine
from treadle_export.passes.activations import USUAL, activations_of, hidden_bound
from treadle_export.passes.align_activations import AlignActivations
from treadle_export.passes.bounds import bound_of
from treadle_export.passes.lower_recurrent import LowerRecurrent
from treadle_export.passes.quantize import QuantizeProducts
from treadle_export.passes.recurrent_weights import recurrence_of

NAMES = sorted(PARAMETERS)


def assert_same(expected: Arrays, actual: Arrays) -> None:
    """Whether the lowered graph says what the engine's own kernel says."""
    assert expected.keys() == actual.keys()
    pairs = [(expected[name], actual[name]) for name in expected]
    rung = compare("lowered", "float32", states=pairs)
    assert rung.passed, rung


def check_step(case: Case) -> None:
    feeds = case.feeds(batch=3, time=1)
    assert_same(case.fused(feeds), Engine(case.lowered("cell")).run(feeds))


@pytest.mark.parametrize("activation", NAMES)
def test_a_step_of_an_rnn_keeps_its_activation(activation: str) -> None:
    check_step(Case("RNN", [activation]))


@pytest.mark.parametrize("linear_before_reset", [0, 1])
@pytest.mark.parametrize("gate", NAMES)
def test_a_step_of_a_gru_keeps_every_pair(gate: str, linear_before_reset: int) -> None:
    for seed, candidate in enumerate(NAMES):
        check_step(
            Case("GRU", [gate, candidate], linear_before_reset=linear_before_reset, seed=seed)
        )


@pytest.mark.parametrize("gate", NAMES)
def test_a_step_of_an_lstm_keeps_every_activation_in_every_place(gate: str) -> None:
    for seed, other in enumerate(NAMES):
        check_step(Case("LSTM", [gate, other, "Tanh"], seed=seed))
        check_step(Case("LSTM", [gate, "Tanh", other], seed=seed))


@pytest.mark.slow
@pytest.mark.parametrize("gate", NAMES)
def test_a_step_of_an_lstm_keeps_every_triple(gate: str) -> None:
    for seed, (squash, output) in enumerate(itertools.product(NAMES, NAMES)):
        check_step(Case("LSTM", [gate, squash, output], seed=seed))


@st.composite
def cases(draw: st.DrawFn) -> Case:
    operator = draw(st.sampled_from(sorted(USUAL)))
    with_lengths = draw(st.booleans())
    directions = ("forward", "reverse", "bidirectional") if with_lengths else ("forward",)
    direction = draw(st.sampled_from(directions))
    count = len(USUAL[operator]) * (2 if direction == "bidirectional" else 1)
    return Case(
        operator,
        draw(st.lists(st.sampled_from(NAMES), min_size=count, max_size=count)),
        inputs=draw(st.integers(1, 20)),
        hidden=draw(st.integers(1, 20)),
        direction=direction,
        linear_before_reset=draw(st.integers(0, 1)),
        with_lengths=with_lengths,
        scale=0.15,
        seed=draw(st.integers(0, 2**32 - 3)),
    )


@given(case=cases(), batch=st.integers(1, 5), time=st.integers(1, 7))
def test_a_sequence_keeps_the_activations_of_each_direction(
    case: Case, batch: int, time: int
) -> None:
    feeds = case.feeds(batch, time)
    assert_same(case.fused(feeds), Engine(case.lowered("scan")).run(feeds))


@pytest.mark.parametrize(
    ("activation", "alpha", "beta"),
    [("HardSigmoid", 0.2, 0.5), ("Elu", 1.0, None), ("LeakyRelu", 0.01, None)],
)
def test_parameters_that_are_left_out_are_onnx_defaults(
    activation: str, alpha: float, beta: float | None
) -> None:
    case = Case("RNN", [activation], scale=1.0)
    without: dict[str, Any] = {"activation_alpha": None, "activation_beta": None}
    written: dict[str, Any] = {"activation_alpha": [alpha]}
    written["activation_beta"] = None if beta is None else [beta]
    feeds = case.feeds(batch=4, time=1)
    expected = Engine(case.model(**written)).run(feeds)
    assert_same(expected, Engine(case.model(**without)).run(feeds))
    lowered = LowerRecurrent("cell")(case.model(**without)).model
    assert_same(expected, Engine(lowered).run(feeds))


def test_names_are_read_in_any_case() -> None:
    case = Case("GRU", ["Sigmoid", "Tanh"])
    feeds = case.feeds(batch=2, time=1)
    lowered = LowerRecurrent("cell")(case.model(activations=["sigmoid", "TANH"])).model
    assert_same(case.fused(feeds), Engine(lowered).run(feeds))


@st.composite
def bounded_cases(draw: st.DrawFn) -> Case:
    """Cells whose state cannot leave some bound, with weights that drive it there."""
    operator = draw(st.sampled_from(sorted(USUAL)))
    gate = st.sampled_from(["Sigmoid", "HardSigmoid"])
    within = st.sampled_from(["Sigmoid", "HardSigmoid", "Tanh", "Softsign", "ScaledTanh"])
    first = draw(gate if operator == "GRU" else within)
    rest = {"LSTM": [draw(st.sampled_from(NAMES)), draw(within)], "GRU": [draw(within)], "RNN": []}
    return Case(
        operator,
        [first, *rest[operator]],
        linear_before_reset=draw(st.integers(0, 1)),
        scale=3.0,
        seed=draw(st.integers(0, 2**32 - 3)),
    )


@given(case=bounded_cases())
def test_no_hidden_state_leaves_its_bound(case: Case) -> None:
    model = case.model(initial_bound=1.0)
    node = model.graph.node(0)
    bound = bound_of(node.outputs[0])
    assert bound is not None
    assert bound_of(node.outputs[1]) == bound
    y = case.fused(case.feeds(batch=4, time=12))["y"]
    assert float(np.abs(y).max()) <= bound + tolerance("lowered", "float32").absolute
    lowered = case.lowered("scan", initial_bound=1.0)
    marks = [value.meta.get(BOUND) for n in lowered.graph for value in n.outputs]
    assert bound in marks


@pytest.mark.parametrize(
    ("operator", "activations", "initial", "expected"),
    [
        ("RNN", ["Tanh"], None, 1.0),
        ("RNN", ["Relu"], 0.0, None),
        ("RNN", ["Affine"], 0.0, None),
        ("LSTM", ["Sigmoid", "Tanh", "Tanh"], None, 1.0),
        ("LSTM", ["HardSigmoid", "Relu", "Tanh"], None, 1.0),
        ("LSTM", ["Sigmoid", "Tanh", "Affine"], 0.0, None),
        ("LSTM", ["Relu", "Tanh", "Tanh"], 0.0, None),
        ("GRU", ["Sigmoid", "Tanh"], 0.0, 1.0),
        ("GRU", ["Sigmoid", "Tanh"], 3.0, 3.0),
        ("GRU", ["Sigmoid", "Tanh"], None, None),
        ("GRU", ["Sigmoid", "Relu"], 0.0, None),
        ("GRU", ["Tanh", "Tanh"], 0.0, None),
    ],
)
def test_what_bounds_a_hidden_state(
    operator: str, activations: list[str], initial: float | None, expected: float | None
) -> None:
    node = Case(operator, activations).model().graph.node(0)
    assert hidden_bound(operator, activations_of(node)[0], initial) == expected


def test_a_gru_whose_gates_go_below_zero_leaves_the_candidates_range() -> None:
    case = Case("GRU", ["Tanh", "Tanh"], scale=3.0)
    y = case.fused(case.feeds(batch=8, time=12))["y"]
    assert float(np.abs(y).max()) > 1  # so a bound of 1 would have been false


def test_a_cell_state_has_no_bound() -> None:
    node = Case("LSTM", ["Sigmoid", "Tanh", "Tanh"]).model(initial_bound=1.0).graph.node(0)
    assert bound_of(node.outputs[2]) is None


def test_a_direction_without_a_bound_takes_it_from_both() -> None:
    node = Case("RNN", ["Tanh", "Relu"], direction="bidirectional").model().graph.node(0)
    assert bound_of(node.outputs[0]) is None


@pytest.mark.parametrize("form", ["cell", "scan"])
def test_an_initial_state_that_may_be_large_gets_no_fixed_scale(form: str) -> None:
    case = Case("GRU", ["Sigmoid", "Tanh"], scale=1.0)
    time = 1 if form == "cell" else 4
    feeds = case.feeds(batch=2, time=time)
    feeds["hidden"] *= 5
    lowered = case.lowered("cell" if form == "cell" else "scan", initial_bound=None)
    QuantizeProducts()(lowered)
    expected, actual = case.fused(feeds), Engine(lowered).run(feeds)
    pairs = [(expected[name], actual[name]) for name in expected]
    # A scale for [-1, 1] would clip the state to a fifth: an error of 4 instead of some percent.
    assert compare("quantized", "int8", states=pairs).passed


@pytest.mark.parametrize(
    "activations",
    [
        ("LSTM", ["HardSigmoid", "Softsign", "Elu"]),
        ("GRU", ["HardSigmoid", "Softplus"]),
        ("GRU", ["Sigmoid", "ScaledTanh"]),
        ("RNN", ["Affine"]),
    ],
    ids=str,
)
@given(seed=st.integers(0, 2**32 - 3), hidden=st.integers(1, 40))
def test_int8_rows_feel_no_company_whatever_the_activations(
    activations: tuple[str, list[str]], seed: int, hidden: int
) -> None:
    operator, names = activations
    case = Case(operator, names, hidden=hidden, seed=seed, scale=0.15)
    lowered = case.lowered("cell", initial_bound=1.0)
    ir.passes.Sequential(
        ir.passes.common.ShapeInferencePass(), AlignActivations(), QuantizeProducts()
    )(lowered)
    engine, feeds = Engine(lowered), case.feeds(batch=5, time=1)
    together = engine.run(feeds)
    for row in range(5):
        alone = engine.run({name: array[:, row : row + 1] for name, array in feeds.items()})
        for name, array in alone.items():
            axis = array.ndim - 2
            np.testing.assert_array_equal(array, np.take(together[name], [row], axis=axis))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"clip": 3.0}, "without clip, got clip=3.0"),
        ({"input_forget": 1}, "without input_forget"),
        ({"layout": 1}, "transpose the node's inputs and outputs"),
        ({"activations": ["Sigmoid", "Tanh"]}, "expected 3 activations"),
        ({"activations": ["Sigmoid", "Gelu", "Tanh"]}, "got 'Gelu'"),
        ({"activations": ["Sigmoid", "Affine", "Tanh"]}, "activation_alpha for Affine"),
        ({"activations": ["ThresholdedRelu", "Tanh", "Tanh"]}, "for ThresholdedRelu"),
    ],
)
def test_what_the_equations_lack_is_refused(changes: dict[str, Any], message: str) -> None:
    model = Case("LSTM", ["Sigmoid", "Tanh", "Tanh"]).model(**changes)
    with pytest.raises(UnsupportedGraph) as raised:
        recurrence_of(model.graph.node(0))
    assert message in str(raised.value)


def with_peepholes(case: Case) -> ir.Model:
    """The model of a case, its LSTM with peepholes that matter."""
    model = case.model()
    node = model.graph.node(0)
    node.resize_inputs(8)
    drawn = np.random.default_rng(case.seed + 3).normal(0, 1, (case.directions, 3 * case.hidden))
    peepholes = weight("layer.p", drawn)
    node.replace_input_with(7, peepholes)
    model.graph.register_initializer(peepholes)
    return model


@given(
    hidden=st.integers(1, 20),
    batch=st.integers(1, 4),
    time=st.integers(1, 6),
    direction=st.sampled_from(["forward", "bidirectional"]),
    seed=st.integers(0, 2**31),
)
def test_peepholes_are_lowered_as_the_engine_computes_them(
    hidden: int, batch: int, time: int, direction: str, seed: int
) -> None:
    names = ["Sigmoid", "Tanh", "Tanh"] * (2 if direction == "bidirectional" else 1)
    case = Case(
        "LSTM", names, hidden=hidden, direction=direction, with_lengths=True, scale=0.15, seed=seed
    )
    feeds = case.feeds(batch, time)
    fused = Engine(with_peepholes(case)).run(feeds)
    lowered = LowerRecurrent("scan")(with_peepholes(case)).model
    ir.passes.common.NameFixPass()(lowered)
    assert_same(fused, Engine(lowered).run(feeds))
    plain = case.fused(feeds)
    assert not np.allclose(plain["y"], fused["y"], atol=1e-4) or hidden * batch * time < 4
    if direction == "forward":
        single = Case("LSTM", names, hidden=hidden, scale=0.15, seed=seed)
        feeds = single.feeds(batch, 1)
        stepped = LowerRecurrent("cell")(with_peepholes(single)).model
        assert_same(Engine(with_peepholes(single)).run(feeds), Engine(stepped).run(feeds))


def test_computed_peepholes_are_refused() -> None:
    model = Case("LSTM", ["Sigmoid", "Tanh", "Tanh"]).model()
    node = model.graph.node(0)
    node.resize_inputs(8)
    node.replace_input_with(7, ir.Value(name="computed"))
    with pytest.raises(ExportError, match=r"peepholes of LSTM node .* to be an initializer"):
        recurrence_of(node)


def test_a_scaled_tanh_is_bounded_by_its_factor() -> None:
    node = (
        Case("RNN", ["ScaledTanh"])
        .model(activation_alpha=[1.7159], activation_beta=[2 / 3])
        .graph.node(0)
    )
    bound = bound_of(node.outputs[0])
    assert bound is not None
    assert math.isclose(bound, 1.7159, rel_tol=1e-6)  # an attribute holds float32
