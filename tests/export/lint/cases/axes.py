"""Batch and time: free, declared as numbers, or written over by Reshape and constant states."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from onnx import TensorProto, helper

from tests.export.lint.cases.case import Case
from tests.export.lint.graphs import (
    FEATURES,
    HIDDEN,
    declare,
    fed_by,
    followed_by,
    operation,
    port,
    streaming,
    tensor,
    without_inputs,
)

if TYPE_CHECKING:
    from onnx import ModelProto


def declared(*shape: int | str | None) -> ModelProto:
    return declare(streaming(), "x", *shape)


def reshaped_before(*target: int) -> ModelProto:
    """X comes from an input of features through a Reshape with a constant shape."""
    made = streaming()
    node = operation("Reshape", "features target", "x")
    fed_by(made, "x", node, target=np.array(target, np.int64))
    made.graph.input.append(port("features", ["any", FEATURES]))
    return made


def reshaped_behind(*target: int) -> ModelProto:
    """Y, its axes in the order time, batch, directions, hidden, is reshaped."""
    made = streaming("GRU")
    turn = operation("Transpose", "y", "turned", perm=[0, 2, 1, 3])
    node = operation("Reshape", "turned target", "z")
    return followed_by(made, turn, node, target=np.array(target, np.int64))


def squeezed_and_reshaped(*target: int) -> ModelProto:
    made = streaming("GRU")
    squeeze = operation("Squeeze", "y one", "squeezed")
    node = operation("Reshape", "squeezed target", "z")
    constants = {"one": np.array([1]), "target": np.array(target, np.int64)}
    return followed_by(made, squeeze, node, **constants)


def constant_state(rows: int) -> ModelProto:
    made = streaming("GRU")
    return fed_by(made, "h_in", h_in=np.zeros((1, rows, HIDDEN), np.float32))


def wrong_claims() -> ModelProto:
    """Free inputs, but sizes on an intermediate value and on an output, as exporters write them."""
    made = followed_by(streaming("GRU"), operation("Relu", "y", "z"))
    made = fed_by(made, "x", operation("Identity", "given", "x"))
    made.graph.input.append(port("given", ["time", "batch", FEATURES]))
    made.graph.value_info.append(port("x", [5, 3, FEATURES]))
    made.graph.output[0].CopyFrom(port("y", [5, 1, 3, HIDDEN]))
    return made


def unknown_operator() -> ModelProto:
    """Nothing is known behind an operator of another domain, whatever the file claims."""
    made = fed_by(streaming("GRU"), "x", helper.make_node("Any", ["g"], ["x"], domain="elsewhere"))
    made.graph.input.append(port("g", [5, 3, FEATURES]))
    made.graph.value_info.append(port("x", [5, 3, FEATURES]))
    made.opset_import.append(helper.make_opsetid("elsewhere", 1))
    return made


def one_step() -> ModelProto:
    return without_inputs(declared(1, "batch", FEATURES), "lengths")


def lengthened() -> ModelProto:
    """Three steps of padding are put before what comes in, of which the file says 0 steps."""
    made = streaming("GRU")
    node = operation("Concat", "padding given", "x", axis=0)
    fed_by(made, "x", node, padding=np.zeros((3, 1, FEATURES), np.float32))
    made.graph.input.append(port("given", [0, 1, FEATURES]))
    return made


def scalar_input() -> ModelProto:
    made = streaming()
    made.graph.input.append(port("n", [], TensorProto.INT64))
    return made


def empty_initializer() -> ModelProto:
    """Older files declare every initializer as an input, and an empty one may be meant."""
    made = streaming()
    made.graph.initializer.append(tensor("roi", np.zeros(0, np.float32)))
    made.graph.input.append(port("roi", [0]))
    return made


BATCH = "frozen-batch"
TIME = "frozen-time"
ZERO = "zero-size"

CASES = [
    Case(BATCH, "all axes are free", streaming),
    Case(
        BATCH,
        "the input is declared with three rows",
        lambda: declared("time", 3, FEATURES),
        "warning",
        ("LSTM node 'layer'", "X is [?, 3, 6] (the input 'x' is declared [?, 3, 6])"),
    ),
    Case(
        BATCH,
        "one row is a number too",
        lambda: declared("time", 1, FEATURES),
        "warning",
        ("declared [?, 1, 6]",),
    ),
    Case(BATCH, "a size of 0 is unknown", lambda: declared("time", 0, FEATURES)),
    Case(BATCH, "a negative size is unknown", lambda: declared("time", -1, FEATURES)),
    Case(BATCH, "an axis without a name is unknown", lambda: declared(None, None, FEATURES)),
    Case(
        BATCH,
        "a Reshape before the layer writes it",
        lambda: reshaped_before(-1, 4, FEATURES),
        "warning",
        ("Reshape node 'reshape' writes [-1, 4, 6]",),
    ),
    Case(
        BATCH,
        "the initial state is a constant of two rows",
        lambda: constant_state(2),
        "warning",
        ("initial_h is [1, 2, 8] (the constant 'h_in')",),
    ),
    Case(
        BATCH,
        "a state is declared with one row",
        lambda: declare(streaming(), "c_in", 1, 1, HIDDEN),
        "warning",
        ("initial_c is [1, 1, 8] (the input 'c_in' is declared [1, 1, 8])",),
    ),
    Case(
        BATCH,
        "a Reshape behind the layer writes it",
        lambda: reshaped_behind(-1, 3, 1, HIDDEN),
        "warning",
        ("Reshape node 'reshape' after it writes [-1, 3, 1, 8], which makes the batch 3",),
    ),
    Case(
        BATCH,
        "a Reshape writes it and copies the other axes",
        lambda: squeezed_and_reshaped(0, 4, 0),
        "warning",
        ("writes [0, 4, 0], which makes the batch 4",),
    ),
    Case(BATCH, "a Reshape merges what is fixed", lambda: reshaped_behind(0, 0, -1)),
    Case(BATCH, "a Reshape merges the free axes", lambda: reshaped_behind(-1, HIDDEN)),
    Case(BATCH, "a Reshape merges rows in pairs", lambda: reshaped_behind(-1, 2 * HIDDEN)),
    Case(
        BATCH,
        "a Reshape merges the free axes and splits the hidden one",
        lambda: squeezed_and_reshaped(-1, 2, HIDDEN // 2),
    ),
    Case(BATCH, "a Reshape splits the hidden axis", lambda: reshaped_behind(-1, 2, HIDDEN // 2)),
    Case(BATCH, "claims inside the file are wrong", wrong_claims),
    Case(BATCH, "the shape is lost on the way", unknown_operator),
    Case(TIME, "all axes are free", streaming),
    Case(
        TIME,
        "the input is declared with five steps",
        lambda: declared(5, "batch", FEATURES),
        "warning",
        ("LSTM node 'layer'", "X is [5, ?, 6] (the input 'x' is declared [5, ?, 6])"),
    ),
    Case(TIME, "one step is a stream's", one_step),
    Case(TIME, "a size of 0 is not counted with", lengthened),
    Case(TIME, "a size of 0 is unknown", lambda: declared(0, "batch", FEATURES)),
    Case(
        TIME,
        "a Reshape before the layer writes it",
        lambda: reshaped_before(7, -1, FEATURES),
        "warning",
        ("Reshape node 'reshape' writes [7, -1, 6]",),
    ),
    Case(
        TIME,
        "a Reshape behind the layer writes it",
        lambda: reshaped_behind(5, -1, HIDDEN),
        "warning",
        ("Reshape node 'reshape' after it writes [5, -1, 8], which makes the time 5",),
    ),
    Case(
        TIME,
        "a Reshape behind a Squeeze writes it",
        lambda: squeezed_and_reshaped(5, 3, HIDDEN),
        "warning",
        ("which makes the time 5",),
    ),
    Case(TIME, "a Reshape keeps it by 0", lambda: squeezed_and_reshaped(0, -1, 2, HIDDEN // 2)),
    Case(TIME, "claims inside the file are wrong", wrong_claims),
    Case(ZERO, "no size is 0", streaming),
    Case(
        ZERO,
        "an unknown size was written as 0",
        lambda: declared("time", 0, FEATURES),
        "error",
        ("the input 'x' is declared with a size of 0",),
    ),
    Case(ZERO, "a scalar has no sizes", scalar_input),
    Case(ZERO, "an empty initializer is an input too", empty_initializer),
]
