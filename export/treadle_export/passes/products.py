"""Recognizes products with constant weights, their biases, and tables that Gather reads."""

from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from treadle_export.passes.rewriting import constant_array, given

TRANSPOSED = ".transposed"
"""What the name of a weight ends in that is a parameter's transpose."""

MOVES = frozenset({"Squeeze", "Unsqueeze", "Transpose", "ReverseSequence"})
"""Operators that move axes or steps and leave every row of features as it is."""


def is_product(node: ir.Node) -> bool:
    """Whether `node` multiplies by a constant float32 matrix [K, N]."""
    weights = constant_array(node.inputs[1]) if node.op_type == "MatMul" else None
    return weights is not None and weights.ndim == 2 and weights.dtype == np.float32


def product_name(weights: ir.Value) -> str:
    """What people call a weight: `network.output.weight.transposed` is `output`."""
    name = str(weights.name).removesuffix(TRANSPOSED).removesuffix(".weight")
    return name.removeprefix("network.")


def every(_: str) -> bool:
    """Chooses every weight: what a pass does where no plan makes exceptions."""
    return True


def reads_table(node: ir.Node) -> bool:
    """Whether `node` gathers rows of a constant float32 table [V, E]."""
    table = constant_array(node.inputs[0]) if node.op_type == "Gather" else None
    return (
        table is not None
        and table.dtype == np.float32
        and table.ndim == 2
        and table.shape[1] > 1  # one column is the scales of a table quantized before
    )


def products_of(model: ir.Model, chosen: Callable[[str], bool] = every) -> list[ir.Node]:
    """Products with constant weights, in the main graph and in bodies, chosen by their names."""
    nodes = ir.traversal.RecursiveGraphIterator(model.graph)
    return [node for node in nodes if is_product(node) and chosen(product_name(given(node, 1)))]


def bias_of(node: ir.Node) -> ir.Value | None:
    """The constant vector that an Add node adds."""
    for value in node.inputs:
        array = constant_array(value)
        if array is not None and array.ndim == 1:
            return value
    return None


def bias_after(node: ir.Node) -> ir.Node | None:
    """The Add of a constant vector that is the only use of a product."""
    uses = node.outputs[0].uses()
    if len(uses) != 1 or node.outputs[0].is_graph_output():
        return None
    following = next(iter(uses)).node
    same_graph = following.op_type == "Add" and following.graph is node.graph
    return following if same_graph and bias_of(following) is not None else None
