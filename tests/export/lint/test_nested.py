"""Recurrent nodes inside If, Loop and Scan bodies and in functions are found and judged there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from onnx import TensorProto, helper

from tests.export.lint.graphs import (
    FEATURES,
    HIDDEN,
    Size,
    declare,
    fed_by,
    model,
    operation,
    port,
    streaming,
    tensor,
    weights,
)
from treadle_export.canonical import OPSET
from treadle_export.lint import lint

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from onnx import GraphProto, ModelProto, NodeProto

    from treadle_export.lint import Report

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


def examined(made: ModelProto, directory: Path) -> Report:
    path = directory / "model.onnx"
    path.write_bytes(made.SerializeToString())
    return lint(path)


def worse_than_notes(report: Report) -> dict[str, str]:
    return {f.check: f.message for f in report.findings if f.severity != "note"}


@pytest.mark.parametrize("make", [looped, chosen], ids=["loop", "if"])
def test_a_state_that_comes_in_and_goes_out_through_bodies_is_carried(
    make: type, tmp_path: Path
) -> None:
    report = examined(make(), tmp_path)
    assert report.recurrent_layers == 1
    assert worse_than_notes(report) == {}


def test_a_scan_carries_its_state_and_its_chunks_are_fixed(tmp_path: Path) -> None:
    report = examined(scanned(), tmp_path)
    assert report.recurrent_layers == 1
    assert set(worse_than_notes(report)) == {"frozen-time"}
    assert "inside Scan node 'scan'" in worse_than_notes(report)["frozen-time"]


def test_a_loop_that_starts_from_a_constant_starts_every_call_alike(tmp_path: Path) -> None:
    found = worse_than_notes(examined(looped(start="zeros"), tmp_path))
    assert set(found) == {"baked-initial-state", "ignored-lengths"}
    assert "GRU node 'layer' inside Loop node 'loop' starts" in found["baked-initial-state"]


def test_a_constant_of_the_outer_graph_is_seen_from_a_body(tmp_path: Path) -> None:
    found = worse_than_notes(examined(chosen(start="zeros"), tmp_path))
    assert "initial_h is the constant 'zeros'" in found["baked-initial-state"]
    assert "inside If node 'inner' inside If node 'outer'" in found["baked-initial-state"]
    assert "initial_h is [1, 1, 8]" in found["frozen-batch"]


def test_a_state_that_a_loop_makes_of_an_input_is_the_callers(tmp_path: Path) -> None:
    assert worse_than_notes(examined(warmed_up(), tmp_path)) == {}


def test_shapes_reach_into_bodies(tmp_path: Path) -> None:
    made = declare(looped(), "x", 4, 3, FEATURES)
    found = worse_than_notes(examined(made, tmp_path))
    assert set(found) == {"frozen-batch", "frozen-time"}
    assert "the input 'x' is declared [4, 3, 6]" in found["frozen-time"]


def test_functions_are_written_out(tmp_path: Path) -> None:
    report = examined(in_functions(), tmp_path)
    assert report.recurrent_layers == 1
    expected = {"frozen-batch", "baked-initial-state", "ignored-lengths"}
    assert set(worse_than_notes(report)) == expected


def test_a_function_that_cannot_be_written_out_is_looked_into(tmp_path: Path) -> None:
    # Its opset is another than the model's; what crosses its border is taken for the caller's.
    report = examined(in_functions(opset=OPSET - 3), tmp_path)
    assert report.recurrent_layers == 1
    assert set(worse_than_notes(report)) == {"baked-initial-state", "ignored-lengths"}


def test_functions_that_nobody_calls_do_not_count(tmp_path: Path) -> None:
    made = streaming()
    made.functions.extend(in_functions().functions)
    made.opset_import.append(helper.make_opsetid("mine", 1))
    assert examined(made, tmp_path).recurrent_layers == 1


def test_functions_that_call_each_other_in_a_circle_are_not_followed(tmp_path: Path) -> None:
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("mine", 1)]
    made = streaming("GRU")
    for name, other in (("A", "B"), ("B", "A")):
        call = helper.make_node(other, ["x"], ["y"], domain="mine")
        made.functions.append(helper.make_function("mine", name, ["x"], ["y"], [call], opsets))
    made.graph.node.append(helper.make_node("A", ["y"], ["z"], domain="mine"))
    made.opset_import.append(helper.make_opsetid("mine", 1))
    assert examined(made, tmp_path).recurrent_layers == 1
