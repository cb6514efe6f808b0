"""What is read off a value: sizes that are fixed, and numbers that can be read."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from treadle_export.lint.values import dims, integers, numbers, shown, size


def value(*shape: int | str | None) -> ir.Value:
    return ir.Value(name="value", shape=ir.Shape(shape), type=ir.TensorType(ir.DataType.FLOAT))


def test_only_positive_numbers_are_sizes() -> None:
    assert dims(value(3, "batch", None, 0)) == (3, None, None, None)
    assert size(value(3, "batch"), 0) == 3
    assert size(value(3, "batch"), 1) is None
    assert size(value(3), 1) is None
    assert shown(value(3, "batch")) == "[3, ?]"


def test_a_value_without_a_shape_has_no_sizes() -> None:
    unknown = ir.Value(name="value")
    assert dims(unknown) is None
    assert size(unknown, 0) is None
    assert shown(unknown) == "of unknown shape"
    assert dims(None) is None


def test_integers_are_of_constants_alone() -> None:
    assert integers(ir.Value(name="x", const_value=ir.tensor(np.array([[1, -1]])))) == (1, -1)
    assert integers(ir.Value(name="x", const_value=ir.tensor(np.array([1.0])))) is None
    assert integers(value(1)) is None


def test_numbers_that_contradict_their_shape_are_not_read() -> None:
    damaged = ir.serde.deserialize_tensor(
        ir.serde.serialize_tensor(ir.tensor(np.zeros(4, np.float32), name="x"))
    )
    proto = ir.serde.serialize_tensor(damaged)
    proto.dims[0] = 5
    broken = ir.serde.deserialize_tensor(proto)
    assert numbers(ir.Value(name="x", const_value=broken)) is None
