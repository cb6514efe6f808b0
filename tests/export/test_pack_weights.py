"""int4: weights that are 4 bits in a file, and the integers of 8 bits that a session multiplies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.export.small_models import canonical, lowered
from treadle_export.passes.pack_weights import Packing, PackWeights
from treadle_export.passes.quantize import WEIGHT_LEVELS
from treadle_export.passes.rewriting import Emitter
from treadle_export.quantization.precision import PRECISIONS, lower
from treadle_export.rounding.blocks import BlockWeights
from treadle_export.rounding.gptq import round_compensated, round_to_nearest
from treadle_train.quantization.blocks import BLOCKS

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

FORM, FREE = BLOCKS["int4"], BLOCKS["int4-block"]
SEEDS = st.integers(0, 2**32 - 1)


def uneven(inputs: int, outputs: int, seed: int) -> NDArray[np.float32]:
    """Weights whose blocks and channels are of unlike size, some of them zeros."""
    random = np.random.default_rng(seed)
    weights = random.normal(size=(inputs, outputs)) * np.geomspace(1e-3, 10, inputs)[:, None]
    weights *= np.geomspace(1e-30, 1e3, outputs)
    weights[random.random(weights.shape) < 0.1] = 0
    weights[:, seed % outputs] = 0
    return weights.astype(np.float32)


@given(inputs=st.integers(1, 150), outputs=st.integers(1, 20), seed=SEEDS)
def test_levels_times_multiples_are_the_weights_in_integers(
    inputs: int, outputs: int, seed: int
) -> None:
    weights = uneven(inputs, outputs, seed)
    gram = np.eye(inputs) + np.full((inputs, inputs), 0.5)
    for blocks in (round_to_nearest(weights, FORM), round_compensated(weights, gram, FORM)):
        multiples, unit = blocks.multiples()
        assert 1 <= np.abs(multiples).min() <= np.abs(multiples).max() <= FORM.multiples
        integers = blocks.integers()
        assert np.abs(integers.astype(int)).max() <= WEIGHT_LEVELS
        # Exact in float32: what training saw is what the integers stand for, to the bit.
        np.testing.assert_array_equal(integers * unit, blocks.dequantized())


def test_scales_that_are_no_multiples_have_no_integers() -> None:
    blocks = BlockWeights(np.ones((32, 1), np.int8), np.array([[1], [0.3]], np.float32), FORM)
    with pytest.raises(ValueError, match="no whole multiples of a unit"):
        blocks.integers()


def test_multiples_in_blocks_of_16_lose_less_than_free_scales_in_blocks_of_32() -> None:
    weights = np.random.default_rng(0).normal(size=(256, 64)).astype(np.float32)
    lost = {
        form: np.square(round_to_nearest(weights, form).dequantized() - weights).mean()
        for form in (FORM, FREE)
    }
    assert lost[FORM] < 0.95 * lost[FREE]


def product_of(blocks: BlockWeights, path: Path, *, packed: bool) -> Any:
    """x [batch, K] uint8 times the weights, as a session whose optimized graph is at `path`."""
    inputs = len(blocks.levels)
    x = ir.Value(name="x", shape=ir.Shape(["batch", inputs]), type=ir.TensorType(ir.DataType.UINT8))
    graph = ir.Graph([x], [], nodes=[], name="product", opset_imports={"": 21})
    packing = Packing(lambda _name, _array: blocks)
    e, weights = Emitter(graph), ir.Value(name="w")
    integers, _ = packing.store(e, weights, np.zeros(0, np.float32))
    y = e.op("MatMulInteger", x, integers, e.constant(np.uint8(128)))
    y.name, y.type = "y", ir.TensorType(ir.DataType.INT32)
    graph.extend(e.nodes)
    graph.outputs.append(y)
    model = ir.Model(graph, ir_version=10)
    if packed:
        assert PackWeights(packing)(model).modified
        assert not PackWeights(packing)(model).modified
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(path)
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(ir.to_proto(model).SerializeToString(), options)


@given(inputs=st.integers(1, 70), outputs=st.integers(1, 40), seed=SEEDS)
def test_the_engine_multiplies_the_very_integers(
    tmp_path_factory: pytest.TempPathFactory, inputs: int, outputs: int, seed: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "optimized.onnx"
    blocks = round_to_nearest(uneven(inputs, outputs, seed), FORM)
    x = np.random.default_rng(seed).integers(0, 256, (3, inputs)).astype(np.uint8)
    expected = (x.astype(np.int64) - 128) @ blocks.integers().astype(np.int64)
    for packed in (False, True):
        (y,) = product_of(blocks, path, packed=packed).run(None, {"x": x})
        np.testing.assert_array_equal(y, expected)


def operators(graph: onnx.GraphProto) -> list[str]:
    """Of a graph and the bodies in it."""
    inside = [a.g for node in graph.node for a in node.attribute if a.HasField("g")]
    return [node.op_type for node in graph.node] + [op for g in inside for op in operators(g)]


@pytest.mark.parametrize("kind", ["lstm-model", "gru-additive", "relu-model"])
def test_nothing_is_left_to_unpack_when_a_session_is_open(kind: str, tmp_path: Path) -> None:
    """Neither in a step nor in the loop of a sequence: the engine computes constants once."""
    for name, graph in lowered(kind, "int4").graphs.items():
        content = ir.to_proto(graph.model).SerializeToString()
        stored = operators(onnx.load_from_string(content).graph)
        options = onnxruntime.SessionOptions()
        options.optimized_model_filepath = str(tmp_path / f"{name}.onnx")
        options.log_severity_level = 3
        onnxruntime.InferenceSession(content, options)
        opened = onnx.load(tmp_path / f"{name}.onnx").graph
        plain = lowered(kind, "int8").graphs[name].model
        integers = operators(onnx.load_from_string(ir.to_proto(plain).SerializeToString()).graph)
        assert stored.count("MatMulInteger") == integers.count("MatMulInteger")
        assert stored.count("Reshape") > integers.count("Reshape")
        assert operators(opened).count("Reshape") <= integers.count("Reshape")
        assert not any(array.data_type == onnx.TensorProto.INT4 for array in opened.initializer)


def test_an_exception_may_be_packed_beside_8_bits() -> None:
    model = lower(canonical("lstm-model"), PRECISIONS["int8"], exceptions={"output": "int4"})
    for graph in model.graphs.values():
        arrays = [v.const_value for v in graph.model.graph.initializers.values()]
        types = [array.dtype for array in arrays if array is not None]
        assert types.count(ir.DataType.INT4) == 2
        assert types.count(ir.DataType.INT8) > 2
