"""A float32 bundle as the exporter had it: canonical graphs again, and what was said of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx_ir as ir

from treadle.bundle import Bundle, open_bundle
from treadle.errors import BundleError, ExportError
from treadle.golden import GOLDEN_FILE, Golden
from treadle.initial import read_initial
from treadle.ladder import Rung
from treadle.manifest import Graph, Manifest
from treadle.vocabulary import Vocabulary
from treadle_export.bundle import Description
from treadle_export.canonical import BOUND, OPSET, CanonicalGraph, CanonicalModel
from treadle_export.passes.active_mask import RemoveActiveMask
from treadle_export.passes.bounds import mark_scan_bounds
from treadle_export.passes.loop_over_time import is_looped
from treadle_export.passes.lower_recurrent import form_of
from treadle_export.passes.quantize_lstm import has_kernel
from treadle_export.passes.recurrent_weights import GATES
from treadle_export.quantization.precision import Precision, form_in, layer_plan, uses_kernel

_REPLAYED = frozenset({"stream", "batch", "chunk"})


@dataclass(frozen=True, slots=True)
class Reopened:
    """A float32 bundle: its graphs, and its manifest as the parts that a new bundle takes over."""

    model: CanonicalModel
    description: Description
    manifest: Manifest
    golden: Golden
    rungs: tuple[Rung, ...]
    """The parity ladder up to float32, as the exporter recorded it."""

    @property
    def steps(self) -> bool:
        """Whether it has a step; else it reads whole sequences."""
        return "step" in self.model.graphs

    def plan(self, precision: Precision, exceptions: Mapping[str, str]) -> dict[str, Any]:
        """The plan of the same layers in a precision, as `precision.plan_of` makes it."""
        plan: dict[str, Any] = {}
        for name, graph in self.model.graphs.items():
            nodes = [node for node in graph.model.graph if node.op_type in GATES]
            forms = {form_of(node, form_in(name)) for node in nodes} or {form_in(name)}
            layers = self.manifest.plan.get(name, [])
            whole = uses_kernel(self.model, name, precision, exceptions)
            kernel = whole and bool(nodes) and all(map(has_kernel, nodes))
            plan[name] = [
                layer_plan(max(forms), layer["operator"], precision, kernel=kernel)
                for layer in layers
            ]
        if exceptions:
            plan["weights"] = dict(exceptions)
        return plan


def reopened(path: Path) -> Reopened:
    """Reads a float32 bundle.

    Raises:
        BundleError: it is none, damaged, or has no golden trace.
        ExportError: its precision is another, or its graphs are not ONNX.
    """
    bundle = open_bundle(path)
    manifest = bundle.manifest
    if manifest.precision != "float32":
        raise ExportError(
            f"expected a float32 bundle, got {path} in {manifest.precision}: what rounding took "
            f"from its weights is gone; export float32 from the run and take that one"
        )
    if manifest.target == "mobile":
        raise ExportError(
            f"expected a bundle whose graphs are ONNX, got {path}, built for mobile, whose graphs "
            f"are optimized already; take the float32 bundle of another target"
        )
    if GOLDEN_FILE not in manifest.files:
        raise BundleError(
            f"expected a golden trace {GOLDEN_FILE} in {path}, got none; export the bundle again"
        )
    graphs = {name: _graph(bundle, name, graph) for name, graph in manifest.graphs.items()}
    return Reopened(
        model=CanonicalModel(
            manifest.task,
            graphs,
            looped="step" in graphs and is_looped(graphs["sequence"].model),
            initial=read_initial(bundle),
        ),
        description=Description(
            name=manifest.name,
            vocabularies={
                role: Vocabulary.read(bundle.file(file))
                for role, file in manifest.vocabularies.items()
            },
            decoding=manifest.decoding,
            evaluation=manifest.evaluation,
            licence=manifest.licence,
            provenance=manifest.provenance,
        ),
        manifest=manifest,
        golden=Golden.from_bytes(bundle.read(GOLDEN_FILE)),
        rungs=_rungs(manifest),
    )


def _graph(bundle: Bundle, name: str, interface: Graph) -> CanonicalGraph:
    """The canonical graph: no mask, what is known of the states marked, weights in memory."""
    try:
        model = ir.load(bundle.file(interface.file))
        ir.external_data.load_to_model(model)
    except Exception as error:  # whatever is no ONNX fails in its own way, without a common type
        raise BundleError(
            f"expected {interface.file} of {bundle.path} to be an ONNX graph, got {error}; "
            f"export the bundle again"
        ) from error
    _check_ports(bundle, interface, model.graph)
    model.graph.name = name
    # One for cuda is in an older opset; what it uses means the same in this one.
    model.graph.opset_imports[""] = max(OPSET, model.graph.opset_imports.get("", OPSET))
    for given in model.graph.inputs:
        for port in interface.state:
            if given.name == port.input and port.bound is not None:
                given.meta[BOUND] = port.bound
    if interface.active is not None:
        RemoveActiveMask(interface)(model)
    mark_scan_bounds(model.graph)
    return CanonicalGraph(model, interface._replace(active=None))


def _check_ports(bundle: Bundle, interface: Graph, graph: ir.Graph) -> None:
    named = {port.name for port in (*interface.inputs, *interface.outputs)}
    named |= {tensor.name for tensor in interface.context}
    named |= {name for port in interface.state for name in (port.input, port.output)}
    there = {value.name for value in graph.inputs} | {value.name for value in graph.outputs}
    if missing := sorted(named - there):
        raise BundleError(
            f"expected {interface.file} of {bundle.path} to have {', '.join(missing)}, got a graph "
            f"without; export the bundle again"
        )


def _rungs(manifest: Manifest) -> tuple[Rung, ...]:
    try:
        rungs = [Rung.from_json(r) for r in manifest.evidence.get("parity", {}).get("rungs", [])]
    except (AttributeError, TypeError, ValueError) as error:
        raise BundleError(
            f"expected the rungs of a parity ladder in evidence.parity, got something else "
            f"({error}); export the bundle again"
        ) from error
    return tuple(rung for rung in rungs if rung.name not in _REPLAYED)
