"""A head in two looks: 4-bit estimates of all symbols, exact logits of the few that may win.

Reading all weights of a large head is most of a step. Their 4-bit levels are half of the bytes of
8 bits, and choose as well as these do between a symbol that is likely and thousands that are not;
so the exact product needs the rows of some candidates only.

Operators: com.microsoft MatMulNBits, ONNX TopK, MatMulInteger, ScatterElements. Source of the idea:
Shim et al. 2017, "SVD-softmax", with weights of few bits in place of a low rank.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from treadle_export.passes.products import bias_after, bias_of, product_name, products_of
from treadle_export.passes.quantize import ZERO, in_integers, quantize_columns, scaled, units
from treadle_export.passes.quantize_blocks import INT8_ACTIVATIONS
from treadle_export.passes.rewriting import MICROSOFT, Emitter, constant_floats, given
from treadle_export.rounding.blocks import BlockWeights
from treadle_train.quantization.blocks import BlockForm

ESTIMATE = BlockForm(bits=4, block_size=128)
"""Blocks of 128 multiply faster than those of 32; what that costs an estimate is counted."""
BELOW = 1e-3
"""How far below the least candidate an estimate is capped, at least; in logits."""


@dataclass(frozen=True, slots=True)
class Screen:
    """Which product is screened and how.

    weights: its name; candidates: symbols that get exact logits; exact: their arithmetic.
    """

    weights: str
    candidates: int
    exact: Literal["int8", "float32"]

    def to_json(self) -> dict[str, object]:
        """As the manifest's plan has it."""
        return {
            "weights": self.weights,
            "screened": self.candidates,
            "estimate": {"bits": ESTIMATE.bits, "block_size": ESTIMATE.block_size},
            "exact": self.exact,
        }


Round = Callable[[str, NDArray[np.float32]], BlockWeights]


class ScreenHead(ir.passes.InPlacePass):
    """Rewrites x · W + b [..., V], wherever the graph has this product.

    Candidates are the symbols with the largest estimates. Their logits are those of the whole
    product; every other symbol keeps its estimate, or a number below all candidates if that is
    less, so that the largest logits, as many as there are candidates, are exact ones.

    Requires: the rank of x is known. Ensures: no such product is left.
    """

    def __init__(self, screen: Screen, round_weights: Round) -> None:
        super().__init__()
        self.screen = screen
        self.round_weights = round_weights

    def _nodes(self, model: ir.Model) -> list[ir.Node]:
        return products_of(model, lambda name: name == self.screen.weights)

    def requires(self, model: ir.Model) -> None:
        for node in self._nodes(model):
            if given(node, 0).shape is None:
                raise ir.passes.PreconditionError(
                    f"the rank of what {node.name!r} reads is unknown"
                )

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        nodes = self._nodes(model)
        for node in nodes:
            _screen(node, model.graph, self.screen, self.round_weights)
        ir.passes.common.RemoveUnusedNodesPass()(model)
        if nodes:
            model.graph.opset_imports.setdefault(MICROSOFT, 1)
        return ir.passes.PassResult(model, modified=bool(nodes))

    def ensures(self, model: ir.Model) -> None:
        if self._nodes(model):
            raise ir.passes.PostconditionError("a head is left that is not screened")


@dataclass(frozen=True, slots=True)
class _Head:
    """x [..., K], weights [K, V] and bias [V], if there is one."""

    x: ir.Value
    rank: int
    name: str
    weights: NDArray[np.float32]
    bias: NDArray[np.float32] | None


def _screen(node: ir.Node, root: ir.Graph, screen: Screen, round_weights: Round) -> None:
    e, x, weights = Emitter(root), given(node, 0), given(node, 1)
    array, bias_node = constant_floats(weights), bias_after(node)
    if array is None or x.shape is None:
        raise ValueError(f"{node.name!r} has no constant weights")
    bias = None if bias_node is None else constant_floats(bias_of(bias_node))
    head = _Head(x, len(x.shape), str(weights.name), array, bias)
    estimate = _estimate(e, head, round_weights(product_name(weights), array))
    count = e.constant(np.array([screen.candidates], np.int64))
    _, symbols = e.ops("TopK", estimate, count, outputs=2, axis=-1, sorted=0)
    exact = (_exact_int8 if screen.exact == "int8" else _exact_float32)(e, head, symbols)
    least = e.op("ReduceMin", exact, e.axes(-1), keepdims=1)
    cap = e.op("Sub", least, e.constant(np.float32(BELOW)))
    logits = e.op("ScatterElements", e.op("Min", estimate, cap), symbols, exact, axis=-1)
    if bias_node is not None:
        node.outputs[0].shape = bias_node.outputs[0].shape
        Emitter(root).replace(bias_node, node.outputs[0])
    e.replace(node, logits)


def _estimate(e: Emitter, head: _Head, blocks: BlockWeights) -> ir.Value:
    """Logits [..., V] of 4-bit weights."""
    stored = f"{head.name}.int{blocks.form.bits}"
    bias = [] if head.bias is None else [None, None, e.constant(head.bias, f"{head.name}.bias")]
    return e.op(
        "MatMulNBits",
        head.x,
        e.constant(blocks.packed(), stored),
        e.constant(blocks.packed_scales(), f"{stored}.scale"),
        *bias,
        domain=MICROSOFT,
        K=head.weights.shape[0],
        N=head.weights.shape[1],
        bits=blocks.form.bits,
        block_size=blocks.form.block_size,
        accuracy_level=INT8_ACTIVATIONS,
    )


def _exact_float32(e: Emitter, head: _Head, symbols: ir.Value) -> ir.Value:
    """Logits [..., N] of the symbols [..., N], rows of float32 weights."""
    stored = e.constant(np.ascontiguousarray(head.weights.T), f"{head.name}.rows")
    rows = e.op("Gather", stored, symbols, axis=0)
    column = e.op("Unsqueeze", head.x, e.axes(-1))
    product = e.op("Squeeze", e.op("MatMul", rows, column), e.axes(-1))
    return _with_bias(e, head, product, symbols)


def _exact_int8(e: Emitter, head: _Head, symbols: ir.Value) -> ir.Value:
    """Logits [..., N] of the symbols [..., N], the integers and scales of `QuantizeProducts`."""
    integers, scale = quantize_columns(head.weights)
    x = in_integers(e, head.x)
    stored = e.constant(np.ascontiguousarray(integers.T), f"{head.name}.int8.rows")
    rows = e.op("Gather", stored, symbols, axis=0)
    axes = [*range(head.rank - 1), head.rank, head.rank - 1]
    sums = e.op(
        "MatMulInteger",
        e.op("Unsqueeze", x.integers, e.axes(-2)),
        e.op("Transpose", rows, perm=axes),
        e.constant(np.uint8(ZERO)),
    )
    sums = e.op("Cast", e.op("Squeeze", sums, e.axes(-2)), to=ir.DataType.FLOAT)
    chosen = e.op("Gather", units(e, x, scale, head.name), symbols, axis=0)
    product = scaled(e, x, sums, chosen)
    return _with_bias(e, head, product, symbols)


def _with_bias(e: Emitter, head: _Head, product: ir.Value, symbols: ir.Value) -> ir.Value:
    if head.bias is None:
        return product
    bias = e.op("Gather", e.constant(head.bias, f"{head.name}.bias"), symbols, axis=0)
    return e.op("Add", product, bias)
