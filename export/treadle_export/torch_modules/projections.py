"""Takes projected states out of a traced graph: a layer with `proj_size` carries unprojected ones.

`weights.py` multiplies a projected initial state with zeros, so that it is still seen where
it comes from. Here that product goes: zeros and inputs that are states alone become a state that
starts from zero, anything else is refused. Outputs that are final states, projected, go as well.
"""

import numpy as np
import onnx_ir as ir

from treadle.errors import UnsupportedGraph
from treadle_export.canonical import IR_VERSION
from treadle_export.passes.rewriting import constant_array
from treadle_export.torch_modules.ports import HIDDEN, feeds_states_only, recurrent_nodes, roots
from treadle_export.torch_modules.weights import LOST, PROJECTIONS


def settle_projections(graph: ir.Graph) -> None:
    """Rewrites, in place, every layer with a projection.

    Raises:
        UnsupportedGraph: a projected initial state is neither zeros nor an input of its own.
    """
    lost = [(node, value) for node in recurrent_nodes(graph) if (value := _projected(node))]
    sources = [(node, source) for node, value in lost for source in roots(value)]
    for node, _ in lost:
        node.replace_input_with(HIDDEN, None)
    _drop_projected_finals(graph)
    remove_unused(graph)
    for node, source in sources:
        _refuse_other_than_zero(node, source)
    for source in {id(source): source for _, source in sources}.values():
        if source.is_graph_input() and not source.uses():
            graph.inputs.remove(source)


def _projected(node: ir.Node) -> ir.Value | None:
    """The projected initial state that a layer was given, before its product with zeros."""
    value = node.inputs[HIDDEN] if len(node.inputs) > HIDDEN else None
    product = None if value is None else value.producer()
    if product is None or product.op_type != "MatMul" or not _ends(product.inputs[1], LOST):
        return None
    return product.inputs[0]


def _ends(weights: ir.Value | None, *parts: str) -> bool:
    return weights is not None and str(weights.name).rpartition(".")[2] in parts


def _refuse_other_than_zero(node: ir.Node, source: ir.Value) -> None:
    if feeds_states_only(source) if source.is_graph_input() else _is_zero(source):
        return
    producer = source.producer()
    got = "an input that is read elsewhere too" if source.is_graph_input() else "other numbers"
    got = got if producer is None else f"the result of {producer.op_type}"
    raise UnsupportedGraph(
        f"expected the initial hidden state of the projected LSTM {_path(node)!r} to be zeros or "
        f"an input that is nothing else, got {source.name!r}, {got}: what it was before the "
        f"projection cannot be told from it; start from zeros"
    )


def _path(node: ir.Node) -> str:
    weights = str(getattr(node.inputs[1], "name", node.name))
    return weights.removeprefix("module.").rpartition(".")[0]


def _drop_projected_finals(graph: ir.Graph) -> None:
    """Leaves out outputs that are a projected final state: the unprojected one is carried."""
    finals = {id(node.outputs[1]) for node in recurrent_nodes(graph) if len(node.outputs) > 1}
    projected = {
        id(value)
        for value in graph.outputs
        if _is_projected(value) and all(id(root) in finals for root in roots(value, "MatMul"))
    }
    others = [value for value in graph.outputs if id(value) not in projected]
    if others:
        graph.outputs.clear()
        graph.outputs.extend(others)


def _is_projected(value: ir.Value) -> bool:
    """Whether a value is made of products with a projection's weights, moved about."""
    products = [node for root in roots(value) if (node := root.producer())]
    return bool(products) and all(
        node.op_type == "MatMul" and _ends(node.inputs[1], *PROJECTIONS) for node in products
    )


def _is_zero(value: ir.Value) -> bool:
    array = constant_array(value)
    node = value.producer()
    if node is not None and node.op_type == "ConstantOfShape":
        filled = node.attributes.get_tensor("value", None)
        array = np.zeros(1) if filled is None else filled.numpy()
    return array is not None and not np.any(array)


def remove_unused(graph: ir.Graph) -> None:
    """Removes nodes and initializers that nothing reads."""
    ir.passes.common.RemoveUnusedNodesPass()(ir.Model(graph, ir_version=IR_VERSION))
