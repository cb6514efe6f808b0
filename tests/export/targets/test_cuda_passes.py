"""What a graph for CUDA is rewritten to computes what it did."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.export.small_models import SOURCES, lowered
from treadle.errors import UnsupportedGraph
from treadle.tolerances import tolerance
from treadle_export.engine import Engine
from treadle_export.passes.float_blocks import FLOAT_ACTIVATIONS, FloatBlocks
from treadle_export.passes.rewriting import MICROSOFT, applied
from treadle_export.passes.write_opset import WriteOpset

KIND = "gru-before-fixed"
FLOATS = tolerance("lowered", "float32")


def encoder(precision: str, *passes: ir.passes.PassBase) -> Engine:
    return Engine(applied(passes, lowered(KIND, precision).graphs["encode"].model.clone()))


BEFORE = encoder("float32")
OLDER = encoder("float32", WriteOpset(18))
BLOCKS = encoder("int4-block")
FLOAT_BLOCKS = encoder("int4-block", FloatBlocks(), WriteOpset(18))


def source(rows: list[int], seed: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    return {
        "source": random.integers(1, SOURCES, (len(rows), 16)),
        "source_lengths": np.array(rows, np.int64),
    }


@settings(max_examples=15)
@given(st.lists(st.integers(1, 16), min_size=1, max_size=4), st.integers(0, 9))
def test_an_older_opset_computes_the_same_to_the_bit(rows: list[int], seed: int) -> None:
    expected, actual = (engine.run(source(rows, seed)) for engine in (BEFORE, OLDER))
    for name, array in expected.items():
        np.testing.assert_array_equal(actual[name], array)


@settings(max_examples=15)
@given(st.lists(st.integers(1, 16), min_size=1, max_size=4), st.integers(0, 9))
def test_float_blocks_differ_by_the_rounding_of_activations(rows: list[int], seed: int) -> None:
    expected, actual = (engine.run(source(rows, seed)) for engine in (BLOCKS, FLOAT_BLOCKS))
    allowed = tolerance("stream", "int4-block")
    for name, array in expected.items():
        assert np.abs(actual[name] - array).max() <= allowed.outputs * max(1, np.abs(array).max())


def test_float_blocks_multiply_the_stored_weights_by_floats() -> None:
    """Against numpy: levels times scales, activations as they are, the bias added."""
    random = np.random.default_rng(4)
    levels = random.integers(0, 16, (6, 1, 32)).astype(np.uint8)
    scales = random.uniform(0.01, 0.1, (6, 1)).astype(np.float32)
    bias = random.normal(size=6).astype(np.float32)
    x = random.normal(size=(3, 32)).astype(np.float32)
    given_x = ir.Value(name="x", type=ir.TensorType(ir.DataType.FLOAT), shape=ir.Shape([3, 32]))
    packed = (levels[..., 0::2] | levels[..., 1::2] << 4).astype(np.uint8)
    weights = [
        ir.Value(name=name, const_value=ir.Tensor(array, name=name))
        for name, array in (("levels", packed), ("scales", scales.reshape(-1)), ("bias", bias))
    ]
    attributes = {"K": 32, "N": 6, "bits": 4, "block_size": 32, "accuracy_level": 4}
    node = ir.Node(
        MICROSOFT,
        "MatMulNBits",
        [given_x, weights[0], weights[1], None, None, weights[2]],
        ir.convenience.convert_attributes(attributes),
    )
    y = node.outputs[0]
    y.name, y.type, y.shape = "y", ir.TensorType(ir.DataType.FLOAT), ir.Shape([3, 6])
    graph = ir.Graph(
        [given_x], [y], nodes=[node], initializers=weights, opset_imports={"": 21, MICROSOFT: 1}
    )
    model = applied([FloatBlocks()], ir.Model(graph, ir_version=10))
    expected = x @ ((levels[:, 0] - 8.0) * scales).T.astype(np.float32) + bias
    made = Engine(model, optimized=False).run({"x": x})["y"]
    assert np.abs(made - expected).max() <= FLOATS.absolute * max(1, np.abs(expected).max())


def test_float_blocks_have_no_bias_and_say_so() -> None:
    model = applied([FloatBlocks()], lowered(KIND, "int4-block").graphs["encode"].model.clone())
    nodes = ir.traversal.RecursiveGraphIterator(model.graph)
    products = [node for node in nodes if node.op_type == "MatMulNBits"]
    assert products
    for node in products:
        assert len(node.inputs) < 6
        assert node.attributes.get_int("accuracy_level", 0) == FLOAT_ACTIVATIONS


@pytest.mark.parametrize(
    ("operator", "attributes", "reason"),
    [
        ("Gelu", {}, "the operator is newer"),
        ("GroupNormalization", {"num_groups": 1}, "the operator meant something else there"),
        ("Cast", {"to": 1, "saturate": 0}, "its attribute 'saturate' is newer"),
        ("Cast", {"to": 1, "saturate": 1}, None),
    ],
)
def test_what_the_older_opset_lacks_is_refused(
    operator: str, attributes: dict[str, int], reason: str | None
) -> None:
    x = ir.Value(name="x", type=ir.TensorType(ir.DataType.FLOAT), shape=ir.Shape([1, 2, 2]))
    inputs = [x, x, x] if operator == "GroupNormalization" else [x]
    node = ir.Node(
        "", operator, inputs, ir.convenience.convert_attributes(attributes), name="the one"
    )
    node.outputs[0].name = "y"
    graph = ir.Graph([x], node.outputs, nodes=[node], opset_imports={"": 21})
    model = ir.Model(graph, ir_version=10)
    if reason is None:
        written = applied([WriteOpset(18)], model)
        assert written.graph.opset_imports[""] == 18
        assert "saturate" not in node.attributes
        return
    with pytest.raises(UnsupportedGraph, match=rf"got {operator} \(node 'the one'\): {reason}"):
        applied([WriteOpset(18)], model)
