"""Axes that are added and taken away again disappear, also right before an output of the graph."""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx_ir as ir
import pytest

from tests.export.small_models import KINDS, lowered
from treadle_export.engine import Engine
from treadle_export.passes.fold_seams import FoldSeams
from treadle_export.passes.rewriting import Emitter


def graph_of(*steps: tuple[str, int]) -> tuple[ir.Model, Emitter]:
    """A chain over x [batch, 3] of Abs, then Unsqueeze and Squeeze at the axes given."""
    x = ir.Value(name="x", shape=ir.Shape(["batch", 3]), type=ir.TensorType(ir.DataType.FLOAT))
    graph = ir.Graph([x], [], nodes=[], opset_imports={"": 21}, name="seams")
    e = Emitter(graph)
    value = e.op("Abs", x)
    for operator, axis in steps:
        value = e.op(operator, value, e.axes(axis))
    value.name, value.type = "y", x.type
    graph.extend(e.nodes)
    graph.outputs.append(value)
    return ir.Model(graph, ir_version=10), e


def test_an_output_is_made_without_a_detour() -> None:
    model, _ = graph_of(("Unsqueeze", 0), ("Squeeze", 0))
    folded = FoldSeams()(model).model
    assert [node.op_type for node in folded.graph] == ["Abs"]
    assert [value.name for value in folded.graph.outputs] == ["y"]
    x = np.array([[-1, 2, -3]], np.float32)
    assert np.array_equal(Engine(folded).run({"x": x})["y"], np.abs(x))


def test_other_axes_are_no_seam() -> None:
    model, _ = graph_of(("Unsqueeze", 0), ("Squeeze", 1))
    assert len(list(FoldSeams()(model).model.graph)) == 3


def test_two_outputs_stay_two() -> None:
    model, _ = graph_of(("Unsqueeze", 0), ("Squeeze", 0))
    inner = next(iter(model.graph)).outputs[0]
    inner.name = "z"
    model.graph.outputs.append(inner)
    folded = FoldSeams()(model).model
    assert [value.name for value in folded.graph.outputs] == ["y", "z"]
    assert len(list(folded.graph)) == 3


LANGUAGE_MODELS = [kind for kind, (_, attention, *_) in KINDS.items() if attention is None]


@pytest.mark.parametrize("kind", LANGUAGE_MODELS)
def test_a_lowered_step_has_no_axis_to_spare(kind: str) -> None:
    counted = Counter(node.op_type for node in lowered(kind, "int8").graphs["step"].model.graph)
    assert counted["Squeeze"] == 0, counted
    assert counted["Unsqueeze"] == 0, counted
