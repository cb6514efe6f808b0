"""Weights of 4 bits that are multiplied as 8: packed in the file, unpacked when a session opens.

A product of 4-bit blocks waits for the instructions that unpack them at every step, and kernels sum
blocks in an order of their own. With scales that are whole multiples of one unit a channel, levels
times multiples are integers of 8 bits, and the product is that of `quantize.py`: as fast, and the
same in company. onnxruntime computes what depends on constants alone when it opens a session, so a
step finds the integers there; memory then holds them in 8 bits.

Levels lie within 8 and multiples within 7, so that the integers keep to [-56, 56];
`quantize.py` says why 63 is the most.

Operators: ai.onnx Cast (from INT4), Mul, Reshape, Slice.
"""

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from treadle_export.passes.products import product_name
from treadle_export.passes.quantize_blocks import Round
from treadle_export.passes.rewriting import Emitter, substitute
from treadle_export.rounding.blocks import BlockWeights


class Packing:
    """The integers of products whose weights are to be packed, by the name of the initializer.

    `store` gives `QuantizeProducts` weights of 8 bits, so that every other pass sees what it knows;
    `PackWeights` comes last.
    """

    def __init__(self, round_weights: Round) -> None:
        self._round = round_weights
        self.blocks: dict[str, BlockWeights] = {}

    def store(
        self, e: Emitter, weights: ir.Value, array: NDArray[np.float32]
    ) -> tuple[ir.Value, NDArray[np.float32]]:
        """Integers int8 [K, N] of the weights [K, N] and the unit [N] of each channel."""
        blocks = self._round(product_name(weights), array)
        value = e.constant(blocks.integers(), f"{weights.name}.unpacked")
        self.blocks[str(value.name)] = blocks
        return value, blocks.multiples()[1]


class PackWeights(ir.passes.InPlacePass):
    """Stores weights as levels and multiples of 4 bits, from which the main graph makes integers.

    Ensures: none of these weights is left among the initializers.
    """

    def __init__(self, packing: Packing) -> None:
        super().__init__()
        self.packing = packing

    def _values(self, model: ir.Model) -> list[ir.Value]:
        return [v for n, v in model.graph.initializers.items() if n in self.packing.blocks]

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        values = self._values(model)
        for value in values:
            _pack(model.graph, value, self.packing.blocks[str(value.name)])
        return ir.passes.PassResult(model, modified=bool(values))

    def ensures(self, model: ir.Model) -> None:
        if self._values(model):
            raise ir.passes.PostconditionError("weights are left that should be packed")


def _pack(graph: ir.Graph, integers: ir.Value, blocks: BlockWeights) -> None:
    e, name = Emitter(graph), str(integers.name)
    inputs, outputs = blocks.levels.shape
    multiples, _ = blocks.multiples()
    int4 = ir.DataType.INT4.numpy()
    levels = e.constant(blocks.in_blocks().astype(int4), f"{name}.levels")
    times = e.constant(multiples[:, None].astype(int4), f"{name}.multiples")
    product = e.op(
        "Mul",
        e.op("Cast", levels, to=ir.DataType.INT8),
        e.op("Cast", times, to=ir.DataType.INT8),
    )
    rows = len(multiples) * blocks.form.block_size
    made = e.op("Reshape", product, e.axes(rows, outputs))
    if rows > inputs:
        made = e.op("Slice", made, e.axes(0), e.axes(inputs), e.axes(0))
    substitute(integers, made)
    del graph.initializers[name]
    e.name_after(f"{name}.")
    made.name = name
    graph.insert_before(graph[0], e.nodes)
