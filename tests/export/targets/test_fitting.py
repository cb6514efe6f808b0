"""Every cell goes through every target, and what does not fit is refused by its operator's name."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import onnx
import onnx_ir as ir
import pytest
from onnxruntime.capi import onnxruntime_pybind11_state as onnxruntime_state

from tests.export.small_models import canonical, lowered
from treadle.errors import ExportError, UnsupportedGraph
from treadle_export.canonical import IR_VERSION, OPSET, CanonicalGraph, CanonicalModel
from treadle_export.passes.recurrent_weights import GATES
from treadle_export.quantization.precision import PRECISIONS, lower, plan_of
from treadle_export.targets import TARGETS, target_named
from treadle_export.targets.cuda_kernels import CUDA_KERNELS
from treadle_export.targets.fitting import fitted, with_types
from treadle_export.targets.kernels import cpu_kernels, misfit

if TYPE_CHECKING:
    from collections.abc import Sequence

CELLS = ("aligned-model", "gru-model", "gru-before-model", "elman-model", "relu-model")
WITH_ENCODER = "gru-before-fixed"


@cache
def for_target(kind: str, precision: str, target: str) -> CanonicalModel:
    """A small model in the precision as the target wants it, before it is checked."""
    suited = TARGETS[target].suited(PRECISIONS[precision], canonical(kind))
    if suited == PRECISIONS[precision]:
        return lowered(kind, precision)
    return lower(canonical(kind), suited)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("kind", CELLS)
def test_every_cell_fits_every_target(kind: str, target: str) -> None:
    for precision in ("float32", TARGETS[target].precisions[0]):
        model = fitted(TARGETS[target], for_target(kind, precision, target))
        for graph in model.graphs.values():
            assert graph.model.graph.opset_imports[""] == TARGETS[target].opset


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_target_takes_its_precisions_and_no_other(precision: str, target: str) -> None:
    model = for_target(WITH_ENCODER, precision, target)
    if precision in TARGETS[target].precisions:
        fitted(TARGETS[target], model)
        return
    with pytest.raises(
        UnsupportedGraph, match=rf"the target {target} runs, got (com\.microsoft|ai\.onnx):"
    ):
        fitted(TARGETS[target], model)


@pytest.mark.parametrize("target", ["cpu", "arm64", "web"])
def test_graphs_for_a_processor_are_left_to_the_byte(target: str) -> None:
    """So a bundle for a processor has the digest that it had before there were targets."""
    model = lowered(WITH_ENCODER, "int8")
    for name, graph in fitted(TARGETS[target], model).graphs.items():
        made, before = (
            ir.to_proto(g.model).SerializeToString(deterministic=True)
            for g in (graph, model.graphs[name])
        )
        assert made == before


def test_a_refusal_names_operator_node_graph_and_what_to_do() -> None:
    with pytest.raises(UnsupportedGraph) as raised:
        fitted(TARGETS["cuda"], for_target("gru-model", "int8", "cuda"))
    message = str(raised.value)
    with pytest.raises(UnsupportedGraph, match="MatMulInteger"):
        fitted(TARGETS["cuda"], for_target("gru-model", "int4", "cuda"))
    assert "MatMulInteger (node '" in message
    assert "of the graph 'step'): no kernel for it takes these types" in message
    assert "choose a precision of float16, float32, int8-block, int8-fast, int4-block" in message


def test_an_unknown_target_is_an_error() -> None:
    with pytest.raises(ExportError, match="a target of cpu, arm64, web, cuda, mobile, got 'tpu'"):
        target_named("tpu")


@pytest.mark.parametrize(
    ("kind", "lowering"), [("gru-before-model", "cell"), ("gru-model", "fused")]
)
def test_what_would_fall_back_is_lowered_for_cuda(kind: str, lowering: str) -> None:
    suited = TARGETS["cuda"].suited(PRECISIONS["float32"], canonical(kind))
    plan = plan_of(canonical(kind), suited)
    assert {layer["lowering"] for layer in plan["step"]} == {lowering}
    operators = {
        node.op_type
        for graph in for_target(kind, "float32", "cuda").graphs.values()
        for node in graph.model.graph
    }
    assert ("GRU" in operators) == (lowering == "fused")


def test_cuda_promises_no_exactness() -> None:
    suited = TARGETS["cuda"].suited(PRECISIONS["int8-block"], canonical("gru-model"))
    assert PRECISIONS["int8-block"].invariant
    assert not suited.invariant


def value(name: str, dtype: ir.DataType = ir.DataType.FLOAT, shape: Sequence[int] = (1,)) -> Any:
    return ir.Value(name=name, type=ir.TensorType(dtype), shape=ir.Shape(shape))


def model_of(graph_name: str, inputs: list[ir.Value], *nodes: ir.Node) -> CanonicalModel:
    """One graph of the given nodes; all outputs of the last one are its outputs."""
    for node in nodes:
        for index, made in enumerate(node.outputs):
            made.name = made.name or f"{node.op_type}.{index}"
    graph = ir.Graph(
        inputs,
        nodes[-1].outputs,
        nodes=nodes,
        opset_imports={"": OPSET, "com.example": 1},
        name=graph_name,
    )
    interface = canonical("gru-model").graphs["step"].interface
    held = CanonicalGraph(ir.Model(graph, ir_version=IR_VERSION), interface)
    return CanonicalModel("stateful", {graph_name: held})


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("inside", [False, True])
def test_a_custom_operator_is_refused(target: str, inside: bool) -> None:
    """Also in the body of a loop."""
    x = value("x")
    strange = ir.Node("com.example", "Strange", [x], name="odd one")
    if inside:
        strange.outputs[0].name, strange.outputs[0].type = "made", x.type
        body = ir.Graph([x], strange.outputs, nodes=[strange], name="body")
        given = value("given", shape=(3, 1))
        scan = ir.Node(
            "",
            "Scan",
            [given],
            [ir.AttrGraph("body", body), ir.AttrInt64("num_scan_inputs", 1)],
            name="loop",
        )
        model = model_of("sequence", [given], scan)
    else:
        model = model_of("sequence", [x], strange)
    with pytest.raises(UnsupportedGraph, match=r"got com\.example:Strange \(node 'odd one' of"):
        fitted(TARGETS[target], model)


def recurrent(operator: str, *more: ir.Value | None, **attributes: Any) -> ir.Node:
    gates = GATES[operator]
    x = value("x", shape=(1, 1, 4))
    weights = [value("w", shape=(1, gates * 3, 4)), value("r", shape=(1, gates * 3, 3))]
    made = ir.convenience.convert_attributes({"hidden_size": 3, **attributes})
    return ir.Node("", operator, [x, *weights, *more], made, name="layer", num_outputs=1)


@pytest.mark.parametrize(
    ("node", "reason"),
    [
        (recurrent("LSTM", clip=1.0), "with clip"),
        (recurrent("LSTM", input_forget=1), "with input_forget"),
        (recurrent("LSTM", activations=["Sigmoid", "Relu", "Tanh"]), "with activations"),
        (
            recurrent("LSTM", activations=["HardSigmoid", "Tanh", "Tanh"], activation_alpha=[0.2]),
            "with activation_alpha, activations",
        ),
        (recurrent("LSTM", *[None] * 4, value("p", shape=(1, 9))), "with peepholes"),
        (recurrent("GRU"), "with linear_before_reset other than 1"),
        (recurrent("GRU", linear_before_reset=0), "with linear_before_reset other than 1"),
        (recurrent("RNN", activations=["Relu"]), "with activations"),
        (recurrent("LSTM"), None),
        (recurrent("LSTM", activations=["Sigmoid", "Tanh", "Tanh"], input_forget=0), None),
        (recurrent("GRU", linear_before_reset=1), None),
        (recurrent("RNN", activations=["tanh", "tanh"]), None),
    ],
)
def test_cuda_refuses_recurrent_attributes_that_fall_back(
    node: ir.Node, reason: str | None
) -> None:
    cuda = TARGETS["cuda"]
    found = cuda.fault("sequence", node)
    assert found == (None if reason is None else f"{reason} it falls back to the CPU")
    assert TARGETS["cpu"].fault("sequence", node) is None


def test_what_cannot_be_lowered_either_is_refused_with_its_target() -> None:
    node = recurrent("LSTM", clip=1.0)
    model = model_of("sequence", [v for v in node.inputs if v is not None], node)
    suited = TARGETS["cuda"].suited(PRECISIONS["float32"], model)
    assert "LSTM" not in suited.lowered
    with pytest.raises(UnsupportedGraph, match=r"target cuda runs, got ai\.onnx:LSTM .* with clip"):
        fitted(TARGETS["cuda"], model)


def test_cuda_refuses_control_flow_in_a_step_only() -> None:
    sequence = for_target("gru-before-model", "float32", "cuda").graphs["sequence"]
    as_step = CanonicalModel("language-modelling", {"step": sequence})
    with pytest.raises(UnsupportedGraph, match=r"ai\.onnx:Scan .*holds no control flow"):
        fitted(TARGETS["cuda"], as_step)


@pytest.mark.parametrize("target", TARGETS)
def test_only_where_states_stay_on_a_device_does_a_step_take_a_mask(target: str) -> None:
    """Twice over: a screened model is fitted again."""
    model = fitted(
        TARGETS[target], fitted(TARGETS[target], for_target("gru-model", "int4-block", target))
    )
    step = model.graphs["step"]
    assert step.interface.active == ("active" if target == "cuda" else None)
    named = [given.name for given in step.model.graph.inputs].count("active")
    assert named == (target == "cuda")
    assert model.graphs["sequence"].interface.active is None


@pytest.mark.parametrize(("dtype", "fits"), [(ir.DataType.FLOAT, True), (ir.DataType.INT32, False)])
def test_a_type_without_a_kernel_is_refused(dtype: ir.DataType, fits: bool) -> None:
    """A CPU clips integers of 32 bits, and CUDA does not."""

    def clipped() -> CanonicalModel:
        node = ir.Node("", "Clip", [value("x", dtype)], name="clip")
        node.outputs[0].type, node.outputs[0].shape = ir.TensorType(dtype), ir.Shape([1])
        return model_of("sequence", list(filter(None, node.inputs)), node)

    fitted(TARGETS["cpu"], clipped())
    if fits:
        fitted(TARGETS["cuda"], clipped())
        return
    with pytest.raises(UnsupportedGraph, match=r"ai\.onnx:Clip .*takes these types \(int32\)"):
        fitted(TARGETS["cuda"], clipped())


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_type_of_every_value_is_known(precision: str) -> None:
    """A value without a type would be judged by its operator's name alone."""
    for graph in lowered(WITH_ENCODER, precision).graphs.values():
        nodes = ir.traversal.RecursiveGraphIterator(with_types(graph.model).graph)
        unknown = [node for node in nodes if any(v.dtype is None for v in node.outputs)]
        assert not unknown


def test_the_engines_table_is_what_it_opens() -> None:
    """Also where an operator has no kernel and ONNX defines it by others."""
    kernels = cpu_kernels(OPSET)
    assert {"ai.onnx:LSTM", "ai.onnx:CastLike", "com.microsoft:MatMulNBits"} <= kernels.keys()
    halves = value("x", ir.DataType.FLOAT16)
    strings = value("x", ir.DataType.STRING)
    for given, expected in (
        (halves, None),
        (strings, "no kernel for it takes these types (string)"),
    ):
        node = ir.Node("", "Tanh", [given])
        node.outputs[0].type = given.type
        assert misfit(node, kernels, OPSET) == expected


@pytest.mark.parametrize("operator", CUDA_KERNELS)
def test_the_table_of_cuda_names_operators_and_their_parameters(operator: str) -> None:
    domain, _, name = operator.partition(":")
    for types in CUDA_KERNELS[operator]:
        if domain == "ai.onnx":
            schema = onnx.defs.get_schema(name, TARGETS["cuda"].opset)
            constraints = {c.type_param_str: c.allowed_type_strs for c in schema.type_constraints}
        else:
            schemas = onnxruntime_state.get_all_operator_schema()
            [found] = [s for s in schemas if (s.domain, s.name) == (domain, name)]
            constraints = {c.type_param_str: c.allowed_type_strs for c in found.type_constraints}
        assert types.keys() <= constraints.keys()
        for parameter, elements in types.items():
            known = {text[7:-1] for text in constraints[parameter] if text.startswith("tensor(")}
            assert elements & known, f"{operator}: none of {sorted(elements)} is one of its types"
