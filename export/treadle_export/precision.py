"""What each precision means: which lowering every graph gets, and which passes make it.

float32   recurrent layers stay fused, but for RNN nodes, whose kernel lets rows feel each other
int8      primitive operators, integer products, embedding tables included
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import onnx_ir as ir

from treadle.errors import ExportError
from treadle_export.canonical import CanonicalModel
from treadle_export.passes.active_mask import ACTIVE, AddActiveMask
from treadle_export.passes.align_activations import AlignActivations
from treadle_export.passes.fold_embedding import FoldEmbeddings
from treadle_export.passes.fold_seams import FoldSeams
from treadle_export.passes.loop_over_time import loop_over_time
from treadle_export.passes.lower_recurrent import Form, LowerRecurrent
from treadle_export.passes.quantize import QuantizeEmbeddings, QuantizeProducts
from treadle_export.passes.recurrent_weights import GATES
from treadle_export.passes.row_by_row import RowByRow
from treadle_export.passes.single_axes import MoveSingleAxes

Pass = ir.passes.PassBase


@dataclass(frozen=True, slots=True)
class Precision:
    """One precision: the recurrent operators that become primitive ones, and what follows."""

    name: str
    lowered: frozenset[str]
    passes: Callable[[], list[Pass]]
    invariant: bool
    """Whether a row's answer is promised to the bit alone, in company, by step and by chunk."""


PRECISIONS = {
    precision.name: precision
    for precision in (
        Precision("float32", frozenset({"RNN"}), list, invariant=False),
        Precision(
            "int8",
            frozenset(GATES),
            lambda: [
                RowByRow(),
                AlignActivations(),
                FoldEmbeddings(),
                QuantizeEmbeddings(),
                QuantizeProducts(),
            ],
            invariant=True,
        ),
    )
}


def precision_named(name: str) -> Precision:
    """The precision called `name`. Raises ExportError naming those that exist."""
    if name not in PRECISIONS:
        raise ExportError(f"expected a precision of {', '.join(PRECISIONS)}, got {name!r}")
    return PRECISIONS[name]


def plan_of(model: CanonicalModel, precision: Precision) -> dict[str, Any]:
    """Lowering and precision of every recurrent layer, graph by graph, as the manifest has it."""
    plan: dict[str, Any] = {}
    for name, graph in model.graphs.items():
        layers = [node for node in graph.model.graph if node.op_type in GATES]
        plan[name] = [
            {
                "operator": node.op_type,
                "lowering": _form(name) if node.op_type in precision.lowered else "fused",
                "precision": precision.name,
            }
            for node in layers
        ]
    return plan


def _form(graph_name: str) -> Form:
    return "cell" if graph_name == "step" else "scan"


def lower(model: CanonicalModel, precision: Precision) -> CanonicalModel:
    """The graphs of a canonical model, rewritten for a precision; `model` is left as it was."""
    interfaces = {
        name: replace(graph.interface, active=ACTIVE if name == "step" else None)
        for name, graph in model.graphs.items()
    }

    def rewrite(name: str, graph: ir.Model) -> ir.Model:
        if model.looped and name == "sequence":
            step = model.graphs["step"]
            rewritten = _rewritten("step", step.model.clone(), precision)
            made = loop_over_time(rewritten, step.interface, interfaces["sequence"])
        else:
            made = _rewritten(name, graph, precision)
        passes: list[Pass] = [AddActiveMask(interfaces[name])] if name == "step" else []
        passes += [
            ir.passes.common.RemoveUnusedNodesPass(),
            ir.passes.common.NameFixPass(),
            ir.passes.common.CheckerPass(),
        ]
        return ir.passes.Sequential(*passes)(made).model

    return model.rewritten(rewrite).with_interfaces(interfaces)


def _rewritten(name: str, graph: ir.Model, precision: Precision) -> ir.Model:
    passes: list[Pass] = [
        LowerRecurrent(_form(name), precision.lowered),
        MoveSingleAxes(),
        FoldSeams(),
        ir.passes.common.ShapeInferencePass(),
        *precision.passes(),
    ]
    return ir.passes.Sequential(*passes)(graph).model
