"""States that are given and returned or not, lengths that are told or not, and directions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from onnx import TensorProto

from tests.export.lint.cases.case import Case
from tests.export.lint.graphs import (
    HIDDEN,
    declare,
    fed_by,
    followed_by,
    operation,
    port,
    streaming,
    without_inputs,
    without_outputs,
)

if TYPE_CHECKING:
    from onnx import ModelProto


def zeros_of_the_batch() -> ModelProto:
    """As PyTorch's older exporter makes them: zeros in the shape of the input's batch."""
    nodes = [
        operation("Shape", "x", "rows", start=1, end=2),
        operation("Concat", "one rows hidden", "shape", axis=0),
        operation("ConstantOfShape", "shape", "h_in"),
    ]
    return fed_by(streaming("GRU"), "h_in", *nodes, one=[1], hidden=[HIDDEN])


def expanded_zeros() -> ModelProto:
    nodes = [
        operation("Shape", "x", "rows", start=1, end=2),
        operation("Concat", "one rows hidden", "shape", axis=0),
        operation("Expand", "zero shape", "h_in"),
    ]
    return fed_by(streaming("GRU"), "h_in", *nodes, one=[1], hidden=[HIDDEN], zero=np.float32(0))


def zeros_in_a_given_shape() -> ModelProto:
    """The caller says how large the state is, and nothing of what it holds."""
    expand = operation("Expand", "zero shape", "h_in")
    made = fed_by(streaming("GRU"), "h_in", expand, zero=np.float32(0))
    made.graph.input.append(port("shape", [3], TensorProto.INT64))
    return made


def picked_state() -> ModelProto:
    """The states of several layers come in as one tensor, of which the layer takes its own."""
    made = fed_by(streaming("GRU"), "h_in", operation("Gather", "all index", "h_in"), index=[1])
    made.graph.input.append(port("all", [4, "batch", HIDDEN]))
    return made


def state_of_an_encoder() -> ModelProto:
    """The initial state is made from another input, as a decoder's is from its encoder."""
    nodes = [
        operation("MatMul", "summary bridge", "flat"),
        operation("Unsqueeze", "flat 0", "h_in"),
    ]
    bridge = np.ones((4, HIDDEN), np.float32)
    made = fed_by(streaming("GRU"), "h_in", *nodes, bridge=bridge, **{"0": [0]})
    made.graph.input.append(port("summary", ["batch", 4]))
    return made


def learned_state() -> ModelProto:
    return fed_by(streaming("GRU"), "h_in", h_in=np.ones((1, 1, HIDDEN), np.float32))


def final_state_moved() -> ModelProto:
    """The state leaves transposed, beside another, and rounded."""
    nodes = [
        operation("Transpose", "h_out", "turned", perm=[1, 0, 2]),
        operation("Concat", "turned turned", "both", axis=2),
        operation("QuantizeLinear", "both scale", "small"),
        operation("DequantizeLinear", "small scale", "h_next"),
    ]
    made = without_outputs(streaming("GRU"), "h_out", "y")
    return followed_by(made, *nodes, scale=np.float32(0.01))


def final_state_used() -> ModelProto:
    """A classifier reads the final state; what it returns is another thing."""
    made = without_outputs(streaming("GRU"), "h_out", "y")
    head = np.ones((HIDDEN, 3), np.float32)
    return followed_by(made, operation("MatMul", "h_out head", "logits"), head=head)


def outputs_alone(*, lengths: bool) -> ModelProto:
    made = without_outputs(streaming("GRU"), "h_out")
    return made if lengths else without_inputs(made, "lengths")


def classifier() -> ModelProto:
    return without_inputs(final_state_used(), "h_in", "lengths")


def unheard_lengths(**attributes: str) -> ModelProto:
    return without_inputs(streaming("GRU", **attributes), "lengths")


def constant_lengths() -> ModelProto:
    lengths = np.array([5, 5], np.int32)
    return fed_by(streaming("GRU", direction="bidirectional"), "lengths", lengths=lengths)


def lengths_of_the_shape() -> ModelProto:
    """Every row is said to be as long as the whole: nothing is known of any."""
    nodes = [
        operation("Shape", "x", "steps", start=0, end=1),
        operation("Shape", "x", "rows", start=1, end=2),
        operation("Expand", "steps rows", "wide"),
        operation("Cast", "wide", "lengths", to=TensorProto.INT32),
    ]
    return fed_by(streaming("GRU", direction="reverse"), "lengths", *nodes)


def cast_lengths() -> ModelProto:
    cast = operation("Cast", "long", "lengths", to=TensorProto.INT32)
    made = fed_by(streaming("GRU", direction="bidirectional"), "lengths", cast)
    made.graph.input.append(port("long", ["batch"], TensorProto.INT64))
    return made


START, END = "baked-initial-state", "lost-final-state"
LENGTHS, BOTH = "ignored-lengths", "bidirectional"

CASES = [
    Case(START, "the states are inputs", streaming),
    Case(
        START,
        "both states are left out",
        lambda: without_inputs(streaming(), "h_in", "c_in"),
        "warning",
        ("LSTM node 'layer'", "initial_h is left out, initial_c is left out"),
    ),
    Case(
        START,
        "one of two states is left out",
        lambda: without_inputs(streaming(), "c_in"),
        "warning",
        ("from the same state: initial_c is left out",),
    ),
    Case(
        START,
        "zeros in the shape of the batch",
        zeros_of_the_batch,
        "warning",
        ("initial_h is made from constants alone, by ConstantOfShape node 'constantofshape'",),
    ),
    Case(START, "a zero expanded", expanded_zeros, "warning", ("by Expand node 'expand'",)),
    Case(
        START,
        "a zero in a shape that is given",
        zeros_in_a_given_shape,
        "warning",
        ("by Expand node 'expand'",),
    ),
    Case(START, "a constant", learned_state, "warning", ("initial_h is the constant 'h_in'",)),
    Case(START, "a part of an input", picked_state),
    Case(START, "made from another input", state_of_an_encoder),
    Case(
        START,
        "a layer that cannot stream anyway",
        lambda: without_inputs(streaming("GRU", direction="bidirectional"), "h_in"),
    ),
    Case(END, "the states are outputs", streaming),
    Case(
        END,
        "one of two states is dropped",
        lambda: without_outputs(streaming(), "c_out"),
        "warning",
        ("LSTM node 'layer' does not give its final state back: no output of the model holds Y_c",),
    ),
    Case(END, "the state is read but not returned", final_state_used, "warning", ("holds Y_h",)),
    Case(END, "the state is moved about and rounded", final_state_moved),
    Case(END, "all outputs are returned, unpadded", lambda: outputs_alone(lengths=False)),
    Case(END, "all outputs, padded", lambda: outputs_alone(lengths=True), "warning", ("Y_h",)),
    Case(
        END,
        "a layer that cannot stream anyway",
        lambda: without_outputs(streaming("GRU", direction="reverse"), "h_out"),
    ),
    Case(LENGTHS, "the lengths are an input", streaming),
    Case(LENGTHS, "the lengths are cast", cast_lengths),
    Case(
        LENGTHS,
        "a stream without lengths",
        unheard_lengths,
        "note",
        ("GRU node 'layer' gets no sequence_lens: a short row's final state",),
    ),
    Case(
        LENGTHS,
        "a classifier reads the final state",
        classifier,
        "warning",
        ("gets no sequence_lens: its final state is read",),
    ),
    Case(
        LENGTHS,
        "backwards without lengths",
        lambda: unheard_lengths(direction="bidirectional"),
        "warning",
        ("its backward direction reads the padding first",),
    ),
    Case(LENGTHS, "lengths that are constant", constant_lengths, "warning", ("are constant",)),
    Case(LENGTHS, "lengths from the shape", lengths_of_the_shape, "warning", ("are constant",)),
    Case(
        LENGTHS,
        "one row of any length is never padded",
        lambda: declare(unheard_lengths(direction="bidirectional"), "x", "time", 1, 6),
    ),
    Case(
        LENGTHS,
        "one row of fixed length is",
        lambda: declare(unheard_lengths(direction="bidirectional"), "x", 9, 1, 6),
        "warning",
        ("gets no sequence_lens",),
    ),
    Case(LENGTHS, "one step is never padded", lambda: declare(unheard_lengths(), "x", 1, "b", 6)),
    Case(BOTH, "forward", streaming),
    Case(
        BOTH,
        "both ways",
        lambda: streaming(direction="bidirectional"),
        "note",
        ("LSTM node 'layer' reads its input backwards (direction 'bidirectional')",),
    ),
    Case(BOTH, "backwards", lambda: streaming(direction="reverse"), "note", ("'reverse'",)),
]
