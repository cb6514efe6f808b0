"""Brings a captured graph to canonical form, so that every later pass meets one way of writing."""

import onnx_ir as ir

from treadle.manifest import Graph
from treadle_export.passes.fold_seams import FoldSeams
from treadle_export.passes.products import TRANSPOSED
from treadle_export.passes.rewriting import Emitter, constant_array
from treadle_export.passes.single_axes import MoveSingleAxes


class SplitGemm(ir.passes.InPlacePass):
    """Writes Gemm with constant weights as MatMul and Add, the weights [K, N] from the left.

    A step then multiplies as a sequence does, and both share the stored weights.
    Ensures: no Gemm with constant weights is left.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        gemms = [node for node in model.graph if _splittable(node)]
        for node in gemms:
            _split(node, model.graph)
        return ir.passes.PassResult(model, modified=bool(gemms))

    def ensures(self, model: ir.Model) -> None:
        if any(_splittable(node) for node in model.graph):
            raise ir.passes.PostconditionError("a Gemm is left")


def _splittable(node: ir.Node) -> bool:
    plain = all(node.attributes.get_float(name, 1.0) == 1.0 for name in ("alpha", "beta"))
    return (
        node.op_type == "Gemm"
        and plain
        and not node.attributes.get_int("transA")
        and constant_array(node.inputs[1]) is not None
    )


def _split(node: ir.Node, graph: ir.Graph) -> None:
    e, weights = Emitter(graph), node.inputs[1]
    array = constant_array(weights)
    if weights is not None and array is not None and node.attributes.get_int("transB"):
        weights = e.constant(array.T.copy(), f"{weights.name}{TRANSPOSED}")
    product = e.op("MatMul", node.inputs[0], weights)
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    e.replace(node, product if bias is None else e.op("Add", product, bias))


def canonicalize(model: ir.Model, interface: Graph) -> ir.Model:
    """Splits products, shares common values, folds seams and forgets what tracing left behind."""
    passes = ir.passes.Sequential(
        ir.passes.common.IdentityEliminationPass(),
        SplitGemm(),
        ir.passes.common.CommonSubexpressionEliminationPass(),
        MoveSingleAxes(),
        FoldSeams(),
        ir.passes.common.RemoveUnusedNodesPass(),
        ir.passes.common.RemoveUnusedFunctionsPass(),  # type: ignore[no-untyped-call]
        ir.passes.common.RemoveUnusedOpsetsPass(),
        ir.passes.common.ClearMetadataAndDocStringPass(),
        ir.passes.common.NameFixPass(),
    )
    result = passes(model).model
    forget_tracing(result.graph)
    result.producer_name = "treadle"
    result.producer_version = None
    _declare_shapes(result.graph, interface)
    return result


def forget_tracing(graph: ir.Graph) -> None:
    """Drops what the tracer noted on values: names of Python objects, paths of its files."""
    for node in graph:
        for value in node.outputs:
            value.metadata_props.clear()
    for value in (*tuple(graph.inputs), *graph.initializers.values()):
        value.metadata_props.clear()


def _declare_shapes(graph: ir.Graph, interface: Graph) -> None:
    """Writes the contract's axis names into the graph, in place of the tracer's."""
    shapes = {port.name: port.shape for port in (*interface.inputs, *interface.outputs)}
    shapes |= {tensor.name: tensor.shape for tensor in interface.context}
    for state in interface.state:
        shapes |= {state.input: state.shape, state.output: state.shape}
    for value in (*tuple(graph.inputs), *tuple(graph.outputs)):
        value.shape = ir.Shape(shapes[str(value.name)])
