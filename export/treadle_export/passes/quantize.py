"""int8: products with constant weights in integers, row by row, embedding tables included.

Weights have one scale an output channel, activations one scale a row (or a fixed one where the
graph bounds them), accumulation is exact. Activations are unsigned 8 bit around 128, weights signed
within [-63, 63]: x86 without VNNI adds two products in 16 bits, and 2 * 255 * 63 still fits, so
that the integers are the same everywhere. Unsigned weights would be exact too, and a batch of them
five times slower. A row's answer depends on nothing but the row.

The sums are scaled by operators of their own. MatMulIntegerToFloat of com.microsoft would do it
within the product, and take a fifth longer for one row (`benchmarks/products.py`).

Operators: ai.onnx QuantizeLinear, MatMulInteger, Cast, Mul.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from treadle_export.passes.bounds import bound_of
from treadle_export.passes.products import (
    MOVES,
    every,
    product_name,
    products_of,
    reads_table,
)
from treadle_export.passes.rewriting import (
    Emitter,
    constant_floats,
    given,
)
from treadle_train.quantization.blocks import TABLE_LEVELS

LEVELS = 127
ZERO = 128
WEIGHT_LEVELS = 63
_QUANTIZED = "treadle.quantized"  # key of ir.Value.meta: the Quantized form of a value


class Quantized(NamedTuple):
    """A value in integers: value = (integers - 128) * scale."""

    integers: ir.Value  # uint8
    scale: ir.Value  # float32: a scalar, or one a row with a last axis of 1
    fixed: float | None  # the scale where it is the same for all rows and known


def quantize_columns(
    weights: NDArray[np.float32], levels: int = WEIGHT_LEVELS
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Weights [K, N] -> int8 [K, N] within `levels` and the scale [N] of each output channel."""
    scale = np.abs(weights).max(axis=0) / np.float32(levels)
    scale[scale == 0] = 1
    integers = np.clip(np.rint(weights / scale), -levels, levels)
    return integers.astype(np.int8), scale.astype(np.float32)


class QuantizeEmbeddings(ir.passes.InPlacePass):
    """Stores tables that Gather reads as uint8 with one scale a row.

    A table that is also, transposed, the weights of a product in integers gets the levels that
    `QuantizeProducts` gives these: a symbol's row is an output channel there, so integers and
    scales are the same, and are stored once.

    chosen: by the table's name; all by default. products: by name, those that will be integers.
    Ensures: no chosen table is left in float32.
    """

    def __init__(
        self, chosen: Callable[[str], bool] = every, products: Callable[[str], bool] = every
    ) -> None:
        super().__init__()
        self.chosen = chosen
        self.products = products

    def _nodes(self, model: ir.Model) -> list[ir.Node]:
        tables = [node for node in model.graph if reads_table(node)]
        return [node for node in tables if self.chosen(product_name(given(node, 0)))]

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        gathers = self._nodes(model)
        weights = [constant_floats(given(node, 1)) for node in products_of(model, self.products)]
        for node in gathers:
            table = constant_floats(node.inputs[0])
            tied = any(w is not None and table is not None and _turned(w, table) for w in weights)
            _quantize_embedding(node, model.graph, tied=tied)
        return ir.passes.PassResult(model, modified=bool(gathers))

    def ensures(self, model: ir.Model) -> None:
        if self._nodes(model):
            raise ir.passes.PostconditionError("a float32 table is left")


def _turned(weights: NDArray[np.float32], table: NDArray[np.float32]) -> bool:
    """Whether the weights [K, N] are the table [N, K], transposed."""
    return weights.shape == table.shape[::-1] and np.array_equal(weights.T, table)


def _quantize_embedding(node: ir.Node, graph: ir.Graph, *, tied: bool) -> None:
    e, table = Emitter(graph), given(node, 0)
    array = constant_floats(table)
    if array is None:
        raise ValueError(f"{node.name!r} reads no constant table")
    rows, scales = (_signed_rows if tied else _unsigned_rows)(
        e, array, str(table.name), given(node, 1)
    )
    zero = e.constant(np.float32(ZERO))
    centred = e.op("Sub", e.op("Cast", rows, to=ir.DataType.FLOAT), zero)
    value = e.op("Mul", centred, scales)
    value.meta[_QUANTIZED] = Quantized(rows, scales, fixed=None)
    e.replace(node, value)


def _unsigned_rows(
    e: Emitter, table: NDArray[np.float32], name: str, ids: ir.Value
) -> tuple[ir.Value, ir.Value]:
    """Rows around 128 and their scales, of a table that is stored as activations are."""
    integers, scale = quantize_columns(table.T, TABLE_LEVELS)
    unsigned = (integers.T.astype(np.int16) + ZERO).astype(np.uint8)
    stored = e.constant(unsigned, f"{name}.int8")
    scales = e.constant(scale[:, None], f"{name}.scale")
    return e.op("Gather", stored, ids, axis=0), e.op("Gather", scales, ids, axis=0)


def _signed_rows(
    e: Emitter, table: NDArray[np.float32], name: str, ids: ir.Value
) -> tuple[ir.Value, ir.Value]:
    """The same of a table that is stored as weights are, for a product reads it transposed."""
    integers, scale = quantize_columns(table.T)
    stored = e.constant(np.ascontiguousarray(integers.T), f"{name}.int8")
    floats = e.op("Cast", e.op("Gather", stored, ids, axis=0), to=ir.DataType.FLOAT)
    shifted = e.op("Add", floats, e.constant(np.float32(ZERO)))
    scales = e.op("Gather", e.constant(scale, f"{name}.scale"), ids, axis=0)
    rows = e.op("Cast", shifted, to=ir.DataType.UINT8)
    return rows, e.op("Unsqueeze", scales, e.axes(-1))


Store = Callable[[Emitter, ir.Value, NDArray[np.float32]], tuple[ir.Value, NDArray[np.float32]]]
"""(e, weights, their array [K, N]) -> integers int8 [K, N] and the scale [N] of each channel."""


def store_columns(
    e: Emitter, weights: ir.Value, array: NDArray[np.float32]
) -> tuple[ir.Value, NDArray[np.float32]]:
    """Weights to the nearest of 127 levels of each output channel."""
    integers, scale = quantize_columns(array)
    return e.constant(integers, f"{weights.name}.int8"), scale


class QuantizeProducts(ir.passes.InPlacePass):
    """Rewrites MatMul by a constant matrix, in the main graph and in bodies of Scan.

    chosen: by the name of the weights; all by default. store: how their integers are found.
    Ensures: no chosen product with constant weights is left in float32.
    """

    def __init__(self, chosen: Callable[[str], bool] = every, store: Store = store_columns) -> None:
        super().__init__()
        self.chosen = chosen
        self.store = store

    def _nodes(self, model: ir.Model) -> list[ir.Node]:
        return products_of(model, self.chosen)

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        products = self._nodes(model)
        for node in products:
            _quantize_product(node, model.graph, self.store)
        ir.passes.common.RemoveUnusedNodesPass()(model)
        return ir.passes.PassResult(model, modified=bool(products))

    def ensures(self, model: ir.Model) -> None:
        if self._nodes(model):
            raise ir.passes.PostconditionError("a float32 product is left")


def _quantize_product(node: ir.Node, root: ir.Graph, store: Store) -> None:
    e, x, weights = Emitter(root), given(node, 0), given(node, 1)
    array = constant_floats(weights)
    if array is None:
        raise ValueError(f"{node.name!r} has no constant weights")
    stored, scale = store(e, weights, array)
    quantized = in_integers(e, x)
    sums = e.op("MatMulInteger", quantized.integers, stored, e.constant(np.uint8(ZERO)))
    floats = e.op("Cast", sums, to=ir.DataType.FLOAT)
    e.replace(node, scaled(e, quantized, floats, units(e, quantized, scale, str(weights.name))))


def units(e: Emitter, x: Quantized, scale: NDArray[np.float32], name: str) -> ir.Value:
    """What one of a channel's sum is worth, [N], but for the scales that the rows of `x` have."""
    if x.fixed is None:
        return e.constant(scale, f"{name}.scale")
    return e.constant(scale * np.float32(x.fixed), f"{name}.unit")


def scaled(e: Emitter, x: Quantized, sums: ir.Value, worth: ir.Value) -> ir.Value:
    """Sums of `x`, as floats, times what they are worth and the scales of their rows."""
    product = e.op("Mul", sums, worth)
    return e.op("Mul", product, x.scale) if x.fixed is None else product


def in_integers(e: Emitter, x: ir.Value) -> Quantized:
    """`x` [..., K] in integers, made once for all products that read it."""
    known = x.meta.get(_QUANTIZED)
    if isinstance(known, Quantized):
        return known
    node, bound = x.producer(), bound_of(x)
    if node is not None and node.op_type in MOVES and _is_quantized(node.inputs[0]):
        quantized = _moved(e, node)
    elif bound is not None and bound > 0:
        quantized = _by_bound(e, x, bound)
    else:
        quantized = _by_row(e, x)
    x.meta[_QUANTIZED] = quantized
    return quantized


def _is_quantized(x: ir.Value | None) -> bool:
    """Whether `x` is an embedding, perhaps with its axes moved."""
    if x is None:
        return False
    node = x.producer()
    moved = node is not None and node.op_type in MOVES and _is_quantized(node.inputs[0])
    return _QUANTIZED in x.meta or moved


def _moved(e: Emitter, node: ir.Node) -> Quantized:
    """The same move of axes, done to integers and scales."""
    rest = node.inputs[1:]
    inner = in_integers(e, given(node, 0))
    attributes = {key: attr.value for key, attr in node.attributes.items()}

    def move(value: ir.Value) -> ir.Value:
        return e.op(node.op_type, value, *rest, **attributes)

    return Quantized(
        move(inner.integers), move(inner.scale) if inner.fixed is None else inner.scale, inner.fixed
    )


def _by_bound(e: Emitter, x: ir.Value, bound: float) -> Quantized:
    scale = e.constant(np.float32(bound / LEVELS))
    zero = e.constant(np.uint8(ZERO))
    return Quantized(e.op("QuantizeLinear", x, scale, zero), scale, fixed=bound / LEVELS)


def _by_row(e: Emitter, x: ir.Value) -> Quantized:
    largest = e.op("ReduceMax", e.op("Abs", x), e.axes(-1), keepdims=1)
    tiny = e.constant(np.float32(1e-30))  # a row of zeros has no scale of its own
    scale = e.op("Max", e.op("Mul", largest, e.constant(np.float32(1 / LEVELS))), tiny)
    levels = e.op("Round", e.op("Div", x, scale))
    shifted = e.op("Add", levels, e.constant(np.float32(ZERO)))
    return Quantized(e.op("Cast", shifted, to=ir.DataType.UINT8), scale, fixed=None)
