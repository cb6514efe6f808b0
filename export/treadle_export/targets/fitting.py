"""A lowered model for a target: rewritten, refused by name where it cannot run, and reported on."""

from collections.abc import Callable
from typing import Any

import onnx_ir as ir

from treadle.errors import UnsupportedGraph
from treadle_export.bundle import Parts
from treadle_export.canonical import CanonicalModel
from treadle_export.passes.rewriting import MICROSOFT
from treadle_export.targets.kernels import misfit, operator_of
from treadle_export.targets.size_report import as_table
from treadle_export.targets.target import Target

_MOST = 5  # faults that one message tells


def fitted(target: Target, model: CanonicalModel) -> CanonicalModel:
    """The model rewritten for the target, each node of its graphs and of their bodies checked.

    Raises:
        UnsupportedGraph: a node would not run there; names operator, node, graph and target.
    """
    rewritten = target.rewritten(model)
    faults = [
        fault
        for name, graph in rewritten.graphs.items()
        for fault in _faults(target, name, with_types(graph.model))
    ]
    if faults:
        more = f"; and {len(faults) - _MOST} more" if len(faults) > _MOST else ""
        raise UnsupportedGraph(
            f"expected operators that the target {target.name} runs, got "
            f"{'; '.join(faults[:_MOST])}{more}; choose a precision of "
            f"{', '.join(target.precisions)} for it, another --target, or write the model without"
        )
    return rewritten


def _faults(target: Target, graph_name: str, model: ir.Model) -> list[str]:
    """One sentence for each operator and reason, with the first node that it concerns."""
    opset = model.graph.opset_imports[""]
    table = target.kernels(opset)
    faults: dict[tuple[str, str], str] = {}
    for node in ir.traversal.RecursiveGraphIterator(model.graph):
        reason = misfit(node, table, opset) or target.fault(graph_name, node)
        if reason is not None:
            key = (operator_of(node), reason)
            faults.setdefault(
                key, f"{key[0]} (node {node.name!r} of the graph {graph_name!r}): {reason}"
            )
    return list(faults.values())


def evidence_for(
    target: Target, parts: Parts, progress: Callable[[str], None] = lambda _: None
) -> dict[str, Any]:
    """What the manifest's evidence says of the files for this target; a size report is told."""
    evidence = target.evidence(parts)
    if "size" in evidence:
        progress(f"{parts.manifest.precision}: size\n{as_table(evidence['size'])}")
    return evidence


def with_types(model: ir.Model) -> ir.Model:
    """A copy with the element type of every value.

    What operators of onnxruntime's own domain give is float32 wherever Treadle writes them, and
    ONNX's inference does not know them.
    """
    copy = model.clone()
    for node in ir.traversal.RecursiveGraphIterator(copy.graph):
        for value in node.outputs if node.domain == MICROSOFT else ():
            value.type = value.type or ir.TensorType(ir.DataType.FLOAT)
    return ir.passes.common.ShapeInferencePass()(copy).model
