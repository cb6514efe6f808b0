"""What each precision means: which lowering every graph gets, and which passes make it.

float32          recurrent layers stay fused, but for RNN nodes, whose kernel lets rows feel each
                 other
float16          primitive operators, weights and products in half precision
int8             primitive operators, integer products row by row, embedding tables included
int8-block       8-bit weights in blocks of 32, each with a scale
int8-fast        the same in blocks of 128: faster for one row, and it may feel its company
int4             4-bit weights in blocks of 16, rounded with the inputs that they meet, whose scales
                 are whole multiples; a session unpacks them, and its products are those of int8
int4-block       the same in blocks of 32, each with a scale of its own, which stay 4 bits in memory
int4-fast        the same in blocks of 128: faster for one row, and it may feel its company
int8-tensorwise  the engine's own dynamic quantization, of LSTM layers over whole sequences too,
                 where it is fast: a row feels its company
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import onnx_ir as ir

from treadle.errors import ExportError
from treadle_export.canonical import CanonicalModel
from treadle_export.passes.align_activations import AlignActivations
from treadle_export.passes.compact_tables import CompactTables
from treadle_export.passes.fold_embedding import FoldEmbeddings
from treadle_export.passes.fold_seams import FoldSeams
from treadle_export.passes.halve import HalveWeights
from treadle_export.passes.loop_over_time import loop_over_time, rounds_by_length
from treadle_export.passes.lower_recurrent import Form, LowerRecurrent, form_of
from treadle_export.passes.own_blocks import OwnBlocks
from treadle_export.passes.pack_weights import Packing, PackWeights
from treadle_export.passes.quantize import QuantizeEmbeddings, QuantizeProducts
from treadle_export.passes.quantize_blocks import QuantizeBlocks
from treadle_export.passes.quantize_lstm import QuantizeLSTM, has_kernel
from treadle_export.passes.quantize_tensorwise import QuantizeTensorwise
from treadle_export.passes.recurrent_weights import GATES
from treadle_export.passes.rewriting import applied
from treadle_export.passes.row_by_row import RowByRow
from treadle_export.passes.screen_head import ESTIMATE, Screen, ScreenHead
from treadle_export.passes.share_transposed import ShareTransposed
from treadle_export.passes.single_axes import MoveSingleAxes
from treadle_export.passes.split_gates import SplitGates
from treadle_export.quantization.weight_plan import WeightPlan, weight_sizes
from treadle_export.rounding.matrices import Rounding
from treadle_train.quantization.blocks import BLOCKS, BlockForm

Pass = ir.passes.PassBase

_ALL = frozenset(GATES)
PACKED = "int4"
"""The precision whose weights are packed in the file only (passes/pack_weights.py)."""


@dataclass(frozen=True, slots=True)
class Precision:
    """One precision: the recurrent operators that become primitive ones, and what is promised."""

    name: str
    lowered: frozenset[str]
    invariant: bool
    """Whether a row's answer is promised to the bit alone, in company, by step and by chunk."""
    aligned: bool = True
    """Whether the graph is written so that rows do not feel each other outside of products."""
    calibrated: bool = False
    """Whether the weights are rounded with the inputs that they meet."""
    budget: float = 0.005
    """Largest relative rise of the negative log-likelihood that an export accepts unasked."""
    note: str | None = None
    """What whoever exports should know."""
    block_size: int | None = None
    """Another size of the blocks than the precision's own, where it has any."""
    kernel: bool = False
    """Whether LSTM layers that only read whole sequences have the engine's quantized kernel."""
    folded: bool = True
    """Whether products of small vocabularies become tables, where weights are integers."""

    @property
    def blocks(self) -> BlockForm | None:
        """The blocks that weights lie in, None where they lie in none."""
        form = BLOCKS.get(self.name)
        return form and form._replace(block_size=self.block_size or form.block_size)


PRECISIONS = {
    precision.name: precision
    for precision in (
        Precision("float32", frozenset({"RNN"}), invariant=False, aligned=False),
        Precision(
            "float16",
            _ALL,
            invariant=False,
            aligned=False,
            note="float16 is for graphics processors: on a CPU onnxruntime casts the weights back "
            "to float32, so the file is smaller, and the steps are slower",
        ),
        Precision("int8", _ALL, invariant=True),
        Precision("int8-block", _ALL, invariant=True),
        Precision(
            "int8-fast",
            _ALL,
            invariant=False,
            note="int8-fast does not promise invariance: a row may change in its last digits with "
            "the rows beside it; int8 does not",
        ),
        Precision("int4", _ALL, invariant=True, calibrated=True, budget=0.01),
        Precision("int4-block", _ALL, invariant=False, calibrated=True, budget=0.01),
        Precision(
            "int4-fast",
            _ALL,
            invariant=False,
            calibrated=True,
            budget=0.02,
            note="int4-fast does not promise invariance: a row may change in its last digits with "
            "the rows beside it; int4 does not",
        ),
        Precision(
            "int8-tensorwise",
            _ALL,
            invariant=False,
            aligned=False,
            kernel=True,
            budget=0.02,
            note="int8-tensorwise does not promise invariance: one scale serves all rows and "
            "steps of a call, so a row changes with its company; int8 does not",
        ),
    )
}


def precision_named(name: str) -> Precision:
    """The precision called `name`. Raises ExportError naming those that exist."""
    if name not in PRECISIONS:
        raise ExportError(f"expected a precision of {', '.join(PRECISIONS)}, got {name!r}")
    return PRECISIONS[name]


def plan_of(
    model: CanonicalModel, precision: Precision, exceptions: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Lowering and precision of every recurrent layer, graph by graph, as the manifest has it.

    Weights that have another precision than the bundle stand under `weights`, by name.
    """
    plan: dict[str, Any] = {}
    for name, graph in model.graphs.items():
        whole = uses_kernel(model, name, precision, exceptions)
        plan[name] = [
            layer_plan(
                form_of(node, form_in(name)),
                node.op_type,
                precision,
                kernel=whole and has_kernel(node),
            )
            for node in graph.model.graph
            if node.op_type in GATES
        ]
    if exceptions:
        plan["weights"] = dict(exceptions)
    return plan


def uses_kernel(
    model: CanonicalModel, name: str, precision: Precision, exceptions: Mapping[str, str] | None
) -> bool:
    """Whether LSTM layers of a graph have the engine's quantized kernel.

    Not where a step reads the same weights, laid out for products, nor where weights have
    precisions of their own.
    """
    whole = name == "encode" or "step" not in model.graphs
    return precision.kernel and whole and not exceptions


def layer_plan(
    form: Form, operator: str, precision: Precision, *, kernel: bool = False
) -> dict[str, str]:
    """What the plan says of one recurrent layer; `kernel` as `uses_kernel` says."""
    lowering = form if operator in precision.lowered and not kernel else "fused"
    return {"operator": operator, "lowering": lowering, "precision": precision.name}


STEPS = frozenset({"step", "predictor"})
"""The graphs that make one step at a time."""


def form_in(graph_name: str) -> Form:
    """How a recurrent layer of a graph is lowered, unless it reads a window within a step."""
    return "cell" if graph_name in STEPS else "scan"


def lower(
    model: CanonicalModel,
    precision: Precision,
    *,
    rounding: Rounding | None = None,
    exceptions: Mapping[str, str] | None = None,
    gates: Mapping[str, tuple[str, ...]] | None = None,
    screen: Screen | None = None,
) -> CanonicalModel:
    """The graphs of a canonical model, rewritten for a precision; `model` is left as it was.

    Args:
        model: the canonical model.
        precision: what every weight gets unless `exceptions` say otherwise.
        rounding: how weights in blocks are rounded; to the nearest level by default.
        exceptions: pattern of a weight's name -> its precision, as `WeightPlan` takes them.
        gates: products to be split by gate first, as `SplitGates` takes them.
        screen: how the head is screened; not at all by default.

    Raises:
        ExportError: an exception fits no weight or names no precision.
    """
    plan = WeightPlan(precision.name, exceptions or {})
    # what promises that a chunk is its steps has no kernel whose rounding tells them apart
    looped = model.looped or (
        precision.aligned
        and "step" in model.graphs
        and rounds_by_length(model.graphs["sequence"].model)
    )

    def structure(name: str, graph: ir.Model) -> ir.Model:
        kernel = uses_kernel(model, name, precision, exceptions)
        return applied(_structuring(name, precision, gates or {}, kernel=kernel), graph)

    def rewrite(name: str, graph: ir.Model) -> ir.Model:
        rounded = rounding or Rounding()
        packing = Packing(partial(rounded, form=BLOCKS[PACKED]))
        passes = _passes(precision, plan, rounded, packing, screen)
        if looped and name == "sequence":
            step = structured.graphs["step"]
            rewritten = applied(passes, step.model.clone())
            graph = loop_over_time(rewritten, step.interface, model.graphs[name].interface)
            passes = []
        passes += [OwnBlocks(), ShareTransposed(), PackWeights(packing)]
        passes += [
            ir.passes.common.RemoveUnusedNodesPass(),
            ir.passes.common.NameFixPass(),
            ir.passes.common.CheckerPass(),
        ]
        return applied(passes, graph)

    structured = model.rewritten(structure)
    if plan.exceptions:
        plan.check(weight_sizes(structured))
    return structured.rewritten(rewrite)


def _structuring(
    name: str, precision: Precision, gates: Mapping[str, tuple[str, ...]], *, kernel: bool
) -> list[Pass]:
    """What gives a graph the operators whose weights a precision then rounds."""
    return [
        CompactTables(),
        *([QuantizeLSTM()] if kernel else []),
        LowerRecurrent(form_in(name), precision.lowered),
        SplitGates(gates),
        MoveSingleAxes(),
        FoldSeams(),
        ir.passes.common.ShapeInferencePass(),
    ]


def _passes(
    precision: Precision,
    plan: WeightPlan,
    rounding: Rounding,
    packing: Packing,
    screen: Screen | None,
) -> list[Pass]:
    passes: list[Pass] = [RowByRow(), AlignActivations()] if precision.aligned else []
    if precision.name == "float32" and not plan.exceptions:
        return passes
    if precision.folded:
        passes.append(FoldEmbeddings(plan.bits_of))
    passes += [
        QuantizeEmbeddings(lambda name: plan.table_precision(name) == "int8", plan.chooses("int8")),
    ]
    if screen is not None:
        passes.append(ScreenHead(screen, partial(rounding, form=ESTIMATE)))
    passes += [
        HalveWeights(plan.chooses("float16")),
        QuantizeProducts(plan.chooses("int8")),
        QuantizeProducts(plan.chooses(PACKED), packing.store),
        QuantizeTensorwise(plan.chooses("int8-tensorwise")),
    ]
    own = {precision.name: precision.blocks} if precision.blocks else {}
    for name, form in (BLOCKS | own).items():
        passes.append(QuantizeBlocks(partial(rounding, form=form), plan.chooses(name)))
    return passes
