"""float16: weights and products in half precision, between casts; everything else stays float32.

For engines that multiply halves faster, as those of graphics processors do. On a CPU onnxruntime
casts them back before it multiplies.
"""

from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from treadle.errors import ExportError
from treadle_export.passes.products import every, product_name, products_of, reads_table
from treadle_export.passes.rewriting import Emitter, constant_floats, given


class HalveWeights(ir.passes.InPlacePass):
    """Writes products with constant weights, and tables that Gather reads, in float16.

    chosen: by the name of the weights; all by default.
    Ensures: no chosen product with constant weights and no chosen table is left in float32.
    """

    def __init__(self, chosen: Callable[[str], bool] = every) -> None:
        super().__init__()
        self.chosen = chosen

    def _tables(self, model: ir.Model) -> list[ir.Node]:
        tables = [node for node in model.graph if reads_table(node)]
        return [node for node in tables if self.chosen(product_name(given(node, 0)))]

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        products, tables = products_of(model, self.chosen), self._tables(model)
        for node in products:
            e = Emitter(model.graph)
            x = e.op("Cast", given(node, 0), to=ir.DataType.FLOAT16)
            product = e.op("MatMul", x, _half(e, given(node, 1)))
            e.replace(node, e.op("Cast", product, to=ir.DataType.FLOAT))
        for node in tables:
            e = Emitter(model.graph)
            rows = e.op("Gather", _half(e, given(node, 0)), given(node, 1), axis=0)
            e.replace(node, e.op("Cast", rows, to=ir.DataType.FLOAT))
        ir.passes.common.RemoveUnusedNodesPass()(model)
        return ir.passes.PassResult(model, modified=bool(products or tables))

    def ensures(self, model: ir.Model) -> None:
        if products_of(model, self.chosen) or self._tables(model):
            raise ir.passes.PostconditionError("a float32 weight is left")


def _half(e: Emitter, weights: ir.Value) -> ir.Value:
    array = constant_floats(weights)
    if array is None:
        raise ValueError(f"{weights.name!r} is no float32 constant")
    largest = float(np.abs(array).max(initial=0.0))
    if largest > float(np.finfo(np.float16).max):
        raise ExportError(
            f"expected weights within the range of float16, got {largest:.3g} in "
            f"{product_name(weights)!r}; choose another precision"
        )
    return e.constant(array.astype(np.float16), f"{weights.name}.float16")
