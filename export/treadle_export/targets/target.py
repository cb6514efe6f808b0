"""What a target is: the engine that will run a bundle there, and what of a graph it runs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import onnx_ir as ir

from treadle_export.bundle import Parts
from treadle_export.canonical import OPSET, CanonicalModel
from treadle_export.passes.active_mask import with_active_mask
from treadle_export.passes.recurrent_weights import GATES, lowerable
from treadle_export.passes.rewriting import applied
from treadle_export.quantization.precision import Precision
from treadle_export.targets.kernels import Table

Pass = ir.passes.PassBase
_NOTHING: Mapping[str, str] = MappingProxyType({})


def _none(_graph: str, _node: ir.Node) -> str | None:
    return None


def _as_it_is(parts: Parts) -> Parts:
    return parts


def _no_evidence(_parts: Parts) -> dict[str, Any]:
    return {}


@dataclass(frozen=True, slots=True)
class Target:
    """One target.

    name: as `--target` and the manifest say it.
    summary: what runs the bundle there.
    kernels: opset -> the operators that have a kernel there, with the types that these take.
    precisions: those whose operators all have kernels, the recommended one first.
    opset: of the operators that its graphs are written in.
    aligned: whether graphs are written so that rows do not feel each other, which is a promise
        about kernels of processors; `Precision.aligned` counts where this is true.
    masked: whether the step graph takes a mask of active rows, because states stay on a device.
    fault: (name of the graph, node) -> why a node that has a kernel does not run there, or None.
    passes: what is rewritten last in every graph.
    notes: precision -> what whoever exports it for this target should know, in place of its own.
    package: the files of a bundle -> its files for this target.
    evidence: the files of a finished bundle -> what its evidence says of them.
    """

    name: str
    summary: str
    kernels: Callable[[int], Table]
    precisions: tuple[str, ...]
    opset: int = OPSET
    aligned: bool = True
    masked: bool = False
    fault: Callable[[str, ir.Node], str | None] = _none
    passes: Callable[[], list[Pass]] = list
    notes: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    package: Callable[[Parts], Parts] = _as_it_is
    evidence: Callable[[Parts], dict[str, Any]] = _no_evidence

    def suited(self, precision: Precision, model: CanonicalModel) -> Precision:
        """The precision for this target: recurrent operators that would not run here are lowered.

        model: canonical.
        """
        unfit = frozenset(
            node.op_type
            for name, graph in model.graphs.items()
            for node in graph.model.graph
            if node.op_type in GATES and self.fault(name, node) is not None and lowerable(node)
        )
        return replace(
            precision,
            lowered=precision.lowered | unfit,
            aligned=precision.aligned and self.aligned,
            invariant=precision.invariant and self.aligned,
            note=self.notes.get(precision.name, precision.note),
        )

    def rewritten(self, model: CanonicalModel) -> CanonicalModel:
        """The model as this target's passes leave it."""
        model = with_active_mask(model) if self.masked else model
        return model.rewritten(lambda _, graph: applied(self.passes(), graph))
