"""Models whose recurrent layer lies inside If, Loop and Scan bodies, or in functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from onnx import TensorProto, helper

from tests.export.lint.graphs import (
    FEATURES,
    HIDDEN,
    Size,
    fed_by,
    model,
    operation,
    port,
    streaming,
    tensor,
    weights,
)
from treadle_export.canonical import OPSET

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onnx import GraphProto, ModelProto, NodeProto

STATE: list[Size] = [1, "batch", HIDDEN]


def gru(inputs: str = "x W R", outputs: str = "y h_out", **attributes: int) -> NodeProto:
    node = helper.make_node("GRU", [], outputs.split(), name="layer", hidden_size=HIDDEN)
    node.input.extend("" if name == "-" else name for name in inputs.split())
    node.attribute.append(helper.make_attribute("linear_before_reset", 1))
    node.attribute.extend(helper.make_attribute(key, value) for key, value in attributes.items())
    return node


def warmed_up() -> ModelProto:
    """The initial state is what a Loop makes of zeros and of an input seen from its body."""
    made = streaming("GRU")
    inside = helper.make_graph(
        [operation("Identity", "go", "go_on"), operation("Add", "state summary", "next")],
        "body",
        [port("i", [], TensorProto.INT64), port("go", [], TensorProto.BOOL), port("state", None)],
        [port("go_on", [], TensorProto.BOOL), port("next", None)],
    )
    loop = helper.make_node("Loop", ["three", "", "zeros"], ["h_in"], name="loop", body=inside)
    zeros = np.zeros((1, 2, HIDDEN), np.float32)
    fed_by(made, "h_in", loop, three=np.array(3), zeros=zeros)
    made.graph.input.append(port("summary", STATE))
    return made


def body(nodes: Sequence[NodeProto], inputs: Sequence[str], outputs: Sequence[str]) -> GraphProto:
    return helper.make_graph(
        nodes, "body", [port(name, None) for name in inputs], [port(name, None) for name in outputs]
    )


def looped(*, start: str = "h_start") -> ModelProto:
    """A Loop that carries the state; X comes from outside of its body."""
    inside = helper.make_graph(
        [operation("Identity", "go", "go_on"), gru("x W R - - h_in")],
        "body",
        [port("i", [], TensorProto.INT64), port("go", [], TensorProto.BOOL), port("h_in", None)],
        [port("go_on", [], TensorProto.BOOL), port("h_out", None)],
    )
    loop = helper.make_node("Loop", ["n", "", start], ["h_end"], name="loop", body=inside)
    constants = [*weights("GRU"), tensor("zeros", np.zeros((1, 2, HIDDEN), np.float32))]
    inputs = [port("x", ["time", "batch", FEATURES]), port("n", [], TensorProto.INT64)]
    return model([loop], [*inputs, port("h_start", STATE)], [port("h_end", STATE)], constants)


def carried_weights() -> ModelProto:
    """A Loop hands the weights of the layer inside from one round to the next."""
    inside = helper.make_graph(
        [
            operation("Identity", "go", "go_on"),
            operation("Identity", "V", "V_on", name="same"),
            gru("x V R - - h_in"),
        ],
        "body",
        [
            port("i", [], TensorProto.INT64),
            port("go", [], TensorProto.BOOL),
            *(port(name, None) for name in ("h_in", "V")),
        ],
        [port("go_on", [], TensorProto.BOOL), port("h_out", None), port("V_on", None)],
    )
    loop = helper.make_node("Loop", ["n", "", "h_start", "W"], ["h_end", "W_end"], name="loop")
    loop.attribute.append(helper.make_attribute("body", inside))
    inputs = [port("x", ["time", "batch", FEATURES]), port("n", [], TensorProto.INT64)]
    inputs.append(port("h_start", STATE))
    return model([loop], inputs, [port("h_end", STATE)], weights("GRU"))


def scanned() -> ModelProto:
    """A Scan over chunks [chunks, time, batch, I] that carries the state from one to the next."""
    inside = body([gru("chunk W R - - h_in")], ["h_in", "chunk"], ["h_out"])
    scan = operation("Scan", "h_start chunks", "h_end", name="scan", body=inside, num_scan_inputs=1)
    inputs = [port("h_start", STATE), port("chunks", ["chunks", 4, "batch", FEATURES])]
    return model([scan], inputs, [port("h_end", STATE)], weights("GRU"))


def chosen(*, start: str = "h_start") -> ModelProto:
    """An If whose first branch holds an If that holds the layer."""
    inner = body([gru(f"x W R - - {start}")], [], ["h_out"])
    other = body([operation("Identity", "h_start", "same")], [], ["same"])
    nested = operation("If", "flag", "h_inner", name="inner", then_branch=inner, else_branch=other)
    outer = body([nested], [], ["h_inner"])
    another = body([operation("Identity", "h_start", "also")], [], ["also"])
    top = operation("If", "flag", "h_end", name="outer", then_branch=outer, else_branch=another)
    inputs = [port("x", ["time", "batch", FEATURES]), port("h_start", STATE)]
    zeros = tensor("zeros", np.zeros((1, 1, HIDDEN), np.float32))
    flag = port("flag", [], TensorProto.BOOL)
    return model([top], [*inputs, flag], [port("h_end", STATE)], [*weights("GRU"), zeros])


def in_functions(*, opset: int = OPSET) -> ModelProto:
    """Two functions: the outer one calls the inner one, which holds the layer, without a state."""
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("mine", 1)]
    inner = helper.make_function("mine", "Layer", ["x", "W", "R"], ["h_out"], [gru()], opsets)
    call = helper.make_node("Layer", ["x", "W", "R"], ["h"], domain="mine", name="call")
    outer = helper.make_function("mine", "Net", ["x", "W", "R"], ["h"], [call], opsets)
    node = helper.make_node("Net", ["x", "W", "R"], ["h_end"], domain="mine", name="net")
    made = model([node], [port("x", ["time", 3, FEATURES])], [port("h_end", None)], weights("GRU"))
    made.opset_import.append(helper.make_opsetid("mine", 1))
    made.functions.extend([outer, inner])
    return made
