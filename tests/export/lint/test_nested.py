"""Recurrent nodes inside If, Loop and Scan bodies and in functions are found and judged there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from onnx import helper

from tests.export.lint.cases.weights import head
from tests.export.lint.graphs import FEATURES, HIDDEN, declare, streaming, with_weight
from tests.export.lint.nested_graphs import (
    carried_weights,
    chosen,
    in_functions,
    looped,
    scanned,
    warmed_up,
)
from treadle_export.canonical import OPSET
from treadle_export.lint import lint

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from onnx import ModelProto

    from treadle_export.lint import Report


def examined(made: ModelProto, directory: Path) -> Report:
    path = directory / "model.onnx"
    path.write_bytes(made.SerializeToString())
    return lint(path)


def worse_than_notes(report: Report) -> dict[str, str]:
    return {f.check: f.message for f in report.findings if f.severity != "note"}


@pytest.mark.parametrize("make", [looped, chosen], ids=["loop", "if"])
def test_a_state_that_comes_in_and_goes_out_through_bodies_is_carried(
    make: Callable[[], ModelProto], tmp_path: Path
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


def test_weights_that_a_loop_hands_on_are_not_stored(tmp_path: Path) -> None:
    found = worse_than_notes(examined(carried_weights(), tmp_path))
    assert set(found) == {"computed-weights"}
    assert "W ('V') is handed on by Loop node 'loop'" in found["computed-weights"]


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
    # Nor are shapes inferred then; what needs none is found all the same.
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("mine", 1)]
    made = with_weight(head(streaming("GRU")), "V", np.full((HIDDEN, 3), 127, np.int8))
    for name, other in (("A", "B"), ("B", "A")):
        call = helper.make_node(other, ["x"], ["y"], domain="mine")
        made.functions.append(helper.make_function("mine", name, ["x"], ["y"], [call], opsets))
    made.graph.node.append(helper.make_node("A", ["y"], ["round"], domain="mine"))
    made.opset_import.append(helper.make_opsetid("mine", 1))
    report = examined(made, tmp_path)
    assert report.recurrent_layers == 1
    assert "saturating-product" in worse_than_notes(report)
