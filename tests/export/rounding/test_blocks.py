"""Blocks as they are stored, and what onnxruntime's MatMulNBits makes of them."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from treadle.tolerances import tolerance
from treadle_export.rounding.gptq import round_to_nearest
from treadle_train.quantization.blocks import BLOCKS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from treadle_export.rounding.blocks import BlockWeights

PRODUCT = tolerance("batch", "int4-block").absolute
"""How far two ways to compute one product may be apart, relative to its largest output."""

FORMS = {name: form for name, form in BLOCKS.items() if not form.multiples}
SHAPES = st.tuples(st.integers(1, 150), st.integers(1, 90))


@cache
def rounded(inputs: int, outputs: int, form: str) -> BlockWeights:
    random = np.random.default_rng(inputs * 1000 + outputs)
    weights = random.normal(size=(inputs, outputs)).astype(np.float32)
    return round_to_nearest(weights, BLOCKS[form])


@cache
def session(inputs: int, outputs: int, form: str, threads: int) -> Any:
    """One product, its bias inside."""
    blocks = rounded(inputs, outputs, form)
    stored: dict[str, NDArray[Any]] = {
        "levels": blocks.packed(),
        "scales": blocks.packed_scales(),
        "bias": bias(outputs),
    }
    node = helper.make_node(
        "MatMulNBits",
        ["x", "levels", "scales", "", "", "bias"],
        ["y"],
        domain="com.microsoft",
        K=inputs,
        N=outputs,
        bits=blocks.form.bits,
        block_size=blocks.form.block_size,
        accuracy_level=4,
    )
    graph = helper.make_graph(
        [node],
        "product",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", inputs])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", outputs])],
        [numpy_helper.from_array(array, name) for name, array in stored.items()],
    )
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    model: onnx.ModelProto = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(model.SerializeToString(), options)


def bias(outputs: int) -> NDArray[np.float32]:
    return np.linspace(-1, 1, outputs, dtype=np.float32)


def activations(rows: int, inputs: int, seed: int) -> NDArray[np.float32]:
    """Rows of unlike size, one of them zeros."""
    random = np.random.default_rng(seed)
    loudness = np.geomspace(0.01, 30, rows)[:, None]
    x = (random.normal(size=(rows, inputs)) * loudness).astype(np.float32)
    x[rows // 2] = 0
    return x


def in_8_bits(x: NDArray[np.float32], block_size: int) -> NDArray[np.float64]:
    """Activations as the kernel rounds them: each block of a row to 255 levels around zero."""
    rows, inputs = x.shape
    count = -(-inputs // block_size)
    padded = np.zeros((rows, count * block_size), np.float32)
    padded[:, :inputs] = x
    blocks = padded.reshape(rows, count, block_size)
    scale = np.abs(blocks).max(axis=-1, keepdims=True) / np.float32(127)
    scale[scale == 0] = 1
    levels = np.rint(blocks / scale)
    rounded_x: NDArray[np.float32] = (levels * scale).reshape(rows, -1)[:, :inputs]
    return rounded_x.astype(np.float64)


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=25)
@given(shape=SHAPES, seed=st.integers(0, 2**16))
def test_the_product_is_that_of_the_dequantized_weights(
    form: str, shape: tuple[int, int], seed: int
) -> None:
    inputs, outputs = shape
    blocks = rounded(inputs, outputs, form)
    x = activations(5, inputs, seed)
    (y,) = session(inputs, outputs, form, 1).run(None, {"x": x})
    weights = blocks.dequantized().astype(np.float64)
    exact = x.astype(np.float64) @ weights + bias(outputs)
    # An activation is rounded by half a level at most; so much can each row be off, and no more.
    half = np.abs(x).max(axis=1, keepdims=True) / 254
    slack = half * np.abs(weights).sum(axis=0) * (1 + 1e-4) + PRODUCT * np.abs(exact).max()
    assert (np.abs(y - exact) <= slack).all()


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=25)
@given(shape=SHAPES, rows=st.integers(2, 40), seed=st.integers(0, 2**16))
def test_a_row_of_a_product_in_company(
    form: str, shape: tuple[int, int], rows: int, seed: int
) -> None:
    """8 bits: the same to the bit. 4 bits: by no more than 1e-5, on every processor class."""
    x = activations(rows, shape[0], seed)
    (together,) = session(*shape, form, 1).run(None, {"x": x})
    for threads in (1, 2):
        engine = session(*shape, form, threads)
        alone = np.concatenate([engine.run(None, {"x": row[None]})[0] for row in x])
        if form == "int8-block":
            np.testing.assert_array_equal(together, alone)
        largest = np.abs(alone).max(axis=1, keepdims=True)
        assert (np.abs(together - alone) <= PRODUCT * np.maximum(largest, 1e-30)).all()


def test_activations_are_rounded_by_blocks_of_a_row() -> None:
    x = activations(9, 100, seed=3)
    for form, (_, block_size, _) in FORMS.items():
        (y,) = session(100, 41, form, 1).run(None, {"x": x})
        weights = rounded(100, 41, form).dequantized().astype(np.float64)
        expected = in_8_bits(x, block_size) @ weights + bias(41)
        largest = np.abs(expected).max(axis=1, keepdims=True)
        # The levels are few enough to tie now and then; a tie goes either way.
        close = np.abs(y - expected) <= PRODUCT * largest
        assert close.mean() > 0.98, form


def test_levels_are_packed_two_to_a_byte_the_first_lowest() -> None:
    blocks = rounded(19, 3, "int4-block")
    packed = blocks.packed()
    assert packed.shape == (3, 1, 16)
    assert packed.dtype == np.uint8
    first, second = packed[:, 0] & 15, packed[:, 0] >> 4
    unpacked = np.stack([first, second], axis=-1).reshape(3, 32).astype(np.int8) - 8
    np.testing.assert_array_equal(unpacked[:, :19], blocks.levels.T)
    assert not unpacked[:, 19:].any()  # the last block is filled up with zeros
    np.testing.assert_array_equal(blocks.packed_scales(), blocks.scales.T.reshape(-1))
