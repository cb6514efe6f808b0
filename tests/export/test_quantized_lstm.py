"""LSTM layers over whole sequences by the engine's quantized kernel: `int8-tensorwise`."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from tests.export.recurrent_nodes import Case, weight
from tests.export.small_models import canonical
from treadle_export.capturing.network import capture
from treadle_export.engine import Engine
from treadle_export.passes.activations import USUAL
from treadle_export.passes.quantize_lstm import QuantizeLSTM, has_kernel
from treadle_export.quantization.precision import lower, plan_of, precision_named
from treadle_train.networks import Tagger

if TYPE_CHECKING:
    import onnx_ir as ir

    from treadle_export.canonical import CanonicalModel

TENSORWISE = precision_named("int8-tensorwise")
QUANTIZED = "DynamicQuantizeLSTM"
CLOSE, MEAN = 0.12, 0.02  # of states of up to 2: weights have 127 levels and activations 255


@st.composite
def cases(draw: st.DrawFn) -> Case:
    direction = draw(st.sampled_from(("forward", "reverse", "bidirectional")))
    return Case(
        "LSTM",
        USUAL["LSTM"] * (2 if direction == "bidirectional" else 1),
        inputs=draw(st.integers(1, 20)),
        hidden=draw(st.integers(1, 20)),
        direction=direction,
        with_lengths=draw(st.booleans()),
        seed=draw(st.integers(0, 2**32 - 3)),
    )


@example(case=Case("LSTM", USUAL["LSTM"], inputs=20, hidden=20, seed=1), batch=5, time=7)
@given(case=cases(), batch=st.integers(1, 5), time=st.integers(1, 7))
def test_it_computes_the_layer_but_for_rounding(case: Case, batch: int, time: int) -> None:
    feeds = case.feeds(batch, time)
    expected = case.fused(feeds)
    found = Engine(QuantizeLSTM()(case.model()).model).run(feeds)
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert found[name].shape == array.shape
        assert np.abs(found[name] - array).max() <= CLOSE
        assert np.abs(found[name] - array).mean() <= MEAN
    if case.with_lengths:
        for row, length in enumerate(feeds["lengths"]):
            assert not found["y"][length:, :, row].any()


@given(batch=st.integers(1, 4), time=st.integers(1, 5), seed=st.integers(0, 99))
def test_it_has_peepholes(batch: int, time: int, seed: int) -> None:
    case = Case("LSTM", USUAL["LSTM"], seed=seed)
    feeds = case.feeds(batch, time)
    expected = Engine(_with_peepholes(case.model())).run(feeds)
    found = Engine(QuantizeLSTM()(_with_peepholes(case.model())).model).run(feeds)
    for name, array in expected.items():
        assert np.abs(found[name] - array).max() <= CLOSE
    assert np.abs(expected["y"] - case.fused(feeds)["y"]).max() > CLOSE / 10


def test_it_rounds() -> None:
    case = Case("LSTM", USUAL["LSTM"], inputs=20, hidden=20)
    feeds = case.feeds(3, 5)
    found = Engine(QuantizeLSTM()(case.model()).model).run(feeds)
    assert np.abs(found["y"] - case.fused(feeds)["y"]).max() > 1e-4


def _only(model: ir.Model) -> ir.Node:
    (node,) = model.graph
    return node


def _with_peepholes(model: ir.Model) -> ir.Model:
    node = _only(model)
    peepholes = weight("layer.p", np.ones((1, 15)))
    model.graph.register_initializer(peepholes)
    node.resize_inputs(8)
    node.replace_input_with(7, peepholes)
    return model


@pytest.mark.parametrize(
    ("model", "kernel"),
    [
        (Case("LSTM", USUAL["LSTM"]).model(), True),
        (Case("LSTM", ("Sigmoid", "Relu", "Tanh")).model(), False),
        (Case("GRU", USUAL["GRU"]).model(), False),
        (Case("RNN", USUAL["RNN"]).model(), False),
        (Case("LSTM", USUAL["LSTM"]).model(clip=1.0), False),
        (_with_peepholes(Case("LSTM", USUAL["LSTM"]).model()), True),
    ],
)
def test_only_usual_layers_have_a_kernel(model: ir.Model, kernel: bool) -> None:
    assert has_kernel(_only(model)) is kernel


@cache
def tagger() -> CanonicalModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return capture(Tagger(50, 7, 12, 16, cell="lstm", bidirectional=True).eval())


def operators(model: CanonicalModel, name: str) -> list[str]:
    graph = lower(model, TENSORWISE).graphs[name].model.graph
    return [node.op_type for node in graph]


def lowerings(
    model: CanonicalModel, name: str, exceptions: dict[str, str] | None = None
) -> set[str]:
    return {layer["lowering"] for layer in plan_of(model, TENSORWISE, exceptions)[name]}


def test_what_reads_whole_sequences_has_the_kernel_and_the_plan_says_so() -> None:
    assert QUANTIZED in operators(tagger(), "sequence")
    assert lowerings(tagger(), "sequence") == {"fused"}
    assert QUANTIZED in operators(canonical("lstm-general"), "encode")
    assert lowerings(canonical("lstm-general"), "encode") == {"fused"}


def test_weights_that_a_step_reads_too_keep_its_layout() -> None:
    model = canonical("lstm-model")
    assert QUANTIZED not in operators(model, "sequence")
    assert lowerings(model, "sequence") == {"scan"}
    assert lowerings(model, "step") == {"cell"}


def test_weights_of_another_precision_are_products() -> None:
    other = {"recurrent.layers.0.input": "int8"}
    lowered = lower(tagger(), TENSORWISE, exceptions=other)
    assert QUANTIZED not in {node.op_type for node in lowered.graphs["sequence"].model.graph}
    assert lowerings(tagger(), "sequence", other) == {"scan"}


def test_other_precisions_have_no_kernel() -> None:
    for name in ("int8", "int8-fast", "int4"):
        graph = lower(tagger(), precision_named(name)).graphs["sequence"].model.graph
        assert QUANTIZED not in {node.op_type for node in graph}
