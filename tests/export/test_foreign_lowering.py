"""Networks of arrays, given their states as inputs, take every lowering and quantization."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir
import pytest

from tests.export.recurrent_nodes import port
from treadle.ladder import compare
from treadle_export.arrays import BidirectionalArrays, DenseArrays, RecurrentArrays, from_arrays
from treadle_export.canonical import BOUND
from treadle_export.engine import Arrays, Engine
from treadle_export.passes.activations import activations_of, hidden_bound
from treadle_export.passes.align_activations import AlignActivations
from treadle_export.passes.lower_recurrent import LowerRecurrent
from treadle_export.passes.quantize import QuantizeProducts
from treadle_export.passes.recurrent_weights import GATES

if TYPE_CHECKING:
    from treadle_export.arrays import Layer
    from treadle_export.arrays.layers import Cell
    from treadle_export.foreign import Foreign

FEATURES, UNITS = 5, 19


def recurrent(cell: Cell, inputs: int, seed: int, **options: Any) -> RecurrentArrays:
    random, width = np.random.default_rng(seed), UNITS * {"lstm": 4, "gru": 3, "rnn": 1}[cell]
    x, h = (random.normal(0, 0.3, (rows, width)) for rows in (inputs, UNITS))
    return RecurrentArrays(cell, x, h, name=f"layer{seed}", **options)


def network(activation: str, gate: str, *, reset: Any = "after") -> Foreign:
    """One layer of each cell, the middle one in both directions."""
    options = {"activation": activation, "recurrent_activation": gate}
    both = BidirectionalArrays(
        recurrent("gru", UNITS, 1, reset=reset, **options),
        recurrent("gru", UNITS, 2, reset=reset, **options),
        name="both",
    )
    layers: list[Layer] = [
        recurrent("lstm", FEATURES, 0, **options),
        both,
        recurrent("rnn", 2 * UNITS, 3, activation=activation),
        DenseArrays(np.random.default_rng(4).normal(0, 0.3, (UNITS, 7)), None, gate),
    ]
    return from_arrays(layers)


def with_states(foreign: Foreign) -> tuple[ir.Model, dict[str, int]]:
    """The graph with an input for every state, and how many directions each has."""
    model = foreign.model.clone()
    names: dict[str, int] = {}
    for node in [node for node in model.graph if node.op_type in GATES]:
        directions = activations_of(node)
        bounds = [hidden_bound(node.op_type, given, 0.0) for given in directions]
        node.resize_inputs(7 if node.op_type == "LSTM" else 6)
        for index in range(5, len(node.inputs)):
            name = f"state.{node.inputs[1].name if node.inputs[1] else ''}.{index}"
            state = port(name, (len(directions), "batch", UNITS))
            known = [bound for bound in bounds if bound is not None]
            state.meta[BOUND] = max(known) if index == 5 and len(known) == len(bounds) else None
            model.graph.inputs.append(state)
            node.replace_input_with(index, state)
            names[name] = len(directions)
    return model, names


def lowered(model: ir.Model, *, int8: bool) -> Engine:
    passes: list[ir.passes.PassBase] = [
        LowerRecurrent("scan"),
        ir.passes.common.ShapeInferencePass(),
        AlignActivations(),
        *([QuantizeProducts()] if int8 else []),
        ir.passes.common.NameFixPass(),
        ir.passes.common.CheckerPass(),
    ]
    return Engine(ir.passes.Sequential(*passes)(model).model)


def feeds_of(foreign: Foreign, states: dict[str, int]) -> Arrays:
    feeds: Arrays = dict(foreign.example)
    for name, directions in states.items():
        feeds[name] = np.zeros((directions, len(feeds["lengths"]), UNITS), np.float32)
    return feeds


@pytest.mark.parametrize("reset", ["before", "after"])
@pytest.mark.parametrize(
    ("activation", "gate"),
    [
        ("tanh", "sigmoid"),
        ("tanh", "hard_sigmoid"),
        ("tanh", "hard_sigmoid_keras2"),
        ("relu", "hard_sigmoid"),
        ("linear", "sigmoid"),
        ("softsign", "softplus"),
        ("elu", "sigmoid"),
    ],
)
def test_every_activation_survives_lowering_and_quantization(
    activation: str, gate: str, reset: str
) -> None:
    foreign = network(activation, gate, reset=reset)
    model, states = with_states(foreign)
    feeds = feeds_of(foreign, states)
    expected = foreign.run(foreign.example)["output"]
    valid = (np.arange(expected.shape[1]) < feeds["lengths"][:, None])[..., None]
    scanned = lowered(model.clone(), int8=False).run(feeds)["output"] * valid
    assert compare("equations", "float32", states=[(expected, scanned)]).passed
    quantized = lowered(model.clone(), int8=True).run(feeds)["output"] * valid
    rung = compare("quantized", "int8", states=[(expected, quantized)])
    assert rung.passed, rung
    assert rung.max_abs > 0  # or nothing was quantized
