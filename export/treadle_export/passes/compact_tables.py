"""Stores the rows of an embedding that are all zero once.

A table of n-grams has a row for each that could be; those that no text had stayed zero. What is
left is looked up through the place of each row, which has 4 bytes in place of a vector. The answers
are the same bits.

Operator: ONNX Gather.
"""

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from treadle_export.passes.products import product_name, products_of, reads_table
from treadle_export.passes.rewriting import SMALL, Emitter, constant_floats, given

_LEAST_SAVED = 0.1
"""Share of a table's bytes below which a second lookup is not worth it."""


class CompactTables(ir.passes.InPlacePass):
    """Replaces Gather(table, ids) by Gather(rows, Gather(places, ids)).

    Tables that something else reads are left alone: they are stored once as it is.
    Ensures: no table is left with so many zero rows that a tenth of it could be saved.
    """

    def _nodes(self, model: ir.Model) -> list[tuple[ir.Node, NDArray[np.float32]]]:
        tied = {product_name(given(node, 1)) for node in products_of(model)}  # and transposed
        tables = [
            (node, constant_floats(node.inputs[0])) for node in model.graph if reads_table(node)
        ]
        return [
            (node, table)
            for node, table in tables
            if table is not None
            and len(given(node, 0).uses()) == 1
            and product_name(given(node, 0)) not in tied
            and _saved(table) >= _LEAST_SAVED
        ]

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        found = self._nodes(model)
        for node, table in found:
            _compact(node, table, model.graph)
        if found:
            ir.passes.common.RemoveUnusedNodesPass()(model)
        return ir.passes.PassResult(model, modified=bool(found))

    def ensures(self, model: ir.Model) -> None:
        if self._nodes(model):
            raise ir.passes.PostconditionError("a table with many rows of zeros is left")


def _saved(table: NDArray[np.float32]) -> float:
    """The share of its bytes that would be saved, before any rounding to fewer of them."""
    rows, width = table.shape
    kept = int(table.any(axis=1).sum()) + 1
    if kept * width < SMALL:  # too few to keep the name that a weight is known by
        return 0.0
    return float(1 - kept / rows - 1 / width)


def _compact(node: ir.Node, table: NDArray[np.float32], graph: ir.Graph) -> None:
    e, value, ids = Emitter(graph), given(node, 0), given(node, 1)
    used = table.any(axis=1)
    rows = np.concatenate([np.zeros((1, table.shape[1]), np.float32), table[used]])
    places = np.where(used, np.cumsum(used), 0).astype(np.int32)
    name = str(value.name)
    del graph.initializers[name]  # the rows that are left are the weight that people know
    place = e.op("Gather", e.constant(places, f"{name}.places"), ids, axis=0)
    e.replace(node, e.op("Gather", e.constant(rows, name), place, axis=0))
