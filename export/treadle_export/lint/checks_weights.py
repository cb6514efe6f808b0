"""Weights of recurrent layers: where they are kept, and in which type."""

from collections.abc import Iterator

import onnx_ir as ir

from treadle_export.lint.finding import Check, Found
from treadle_export.lint.quantization import is_quantizing
from treadle_export.lint.recurrences import RecurrentLayer
from treadle_export.lint.subject import Subject, label
from treadle_export.lint.values import constant

QUANTIZER = "onnx.quantize"
"""What onnxruntime's quantizers write as a file's producer, also where they changed nothing."""

_WEIGHTS = ("W", "R", "B")
_FIRST_CONSTANT_INITIALIZERS = 4
"""From this IR version on an initializer that is also an input can be replaced by a caller."""


def _computed_weights(subject: Subject) -> Iterator[Found]:
    for layer in subject.layers:
        origins = {name: _origin(subject, layer.given(name)) for name in _WEIGHTS}
        reasons = [f"{name} {origin}" for name, origin in origins.items() if origin is not None]
        if reasons:
            yield Found(
                "warning",
                f"{subject.place(layer.node)} has weights that are no constant initializers: "
                f"{'; '.join(reasons)}",
                label(layer.node),
            )


def _origin(subject: Subject, value: ir.Value | None) -> str | None:
    """How a weight comes about, None for one that is stored."""
    if value is None:
        return None
    if constant(value) is not None:
        replaceable = value.is_graph_input() and subject.tracer.owner(value.graph) is None
        if replaceable and subject.model.ir_version >= _FIRST_CONSTANT_INITIALIZERS:
            return f"({value.name!r}) is an initializer and also an input, which a caller may set"
        return None
    nodes = [node for origin in subject.tracer.upstream(value) if (node := origin.producer())]
    operators = sorted({node.op_type for node in nodes} - {"Constant"})
    if not operators:
        return _handed_in(subject, value)
    maker = f" node {label(nodes[0])!r}" if value.producer() is nodes[0] else ""
    return f"is computed by {nodes[0].op_type}{maker} (from {', '.join(operators)})"


def _handed_in(subject: Subject, value: ir.Value) -> str | None:
    """How a value without a node of its own comes in; None at the border of a function."""
    owner = subject.tracer.owner(value.graph)
    if owner is not None:
        return f"({value.name!r}) is handed on by {owner.op_type} node {label(owner)!r}"
    return f"({value.name!r}) is an input" if value.graph is subject.model.graph else None


def _unquantized(subject: Subject) -> Iterator[Found]:
    evidence = sorted({node.op_type for node in subject.nodes if is_quantizing(node)})
    if subject.model.producer_name == QUANTIZER:
        evidence.append(f"by {QUANTIZER}")
    for layer in subject.layers if evidence else ():
        if not layer.is_quantized and _is_stored_in_float32(subject, layer):
            yield Found(
                "warning",
                f"the file has been quantized ({', '.join(evidence)}), but "
                f"{subject.place(layer.node)} still multiplies float32 weights{_bytes(layer)}",
                label(layer.node),
            )


def _is_stored_in_float32(subject: Subject, layer: RecurrentLayer) -> bool:
    """Whether W is float32 from the beginning, not integers that are dequantized first."""
    value = layer.given("W")
    if value is None or _dtype(value) != ir.DataType.FLOAT:
        return False
    makers = (origin.producer() for origin in subject.tracer.upstream(value))
    return not any(node is not None and node.op_type == "DequantizeLinear" for node in makers)


def _bytes(layer: RecurrentLayer) -> str:
    tensors = [constant(layer.given(name)) for name in ("W", "R")]
    total = sum(tensor.nbytes for tensor in tensors if tensor is not None)
    return f" of {total:,} bytes" if total else ""


def _other_type(subject: Subject) -> Iterator[Found]:
    for layer in subject.layers:
        kinds = {_dtype(layer.given(name)) for name in ("X", "W", "R")}
        if ir.DataType.DOUBLE in kinds:
            yield Found(
                "error",
                f"{subject.place(layer.node)} computes in float64",
                label(layer.node),
            )
        elif kinds & {ir.DataType.FLOAT16, ir.DataType.BFLOAT16}:
            yield Found(
                "note",
                f"{subject.place(layer.node)} computes in half precision",
                label(layer.node),
            )


def _dtype(value: ir.Value | None) -> ir.DataType | None:
    tensor = constant(value)
    return tensor.dtype if tensor is not None else (None if value is None else value.dtype)


COMPUTED_WEIGHTS = Check(
    name="computed-weights",
    looks_for="weights of a recurrent layer are computed or given, not stored",
    costs="Tools that quantize pass the layer over without a word. An engine has to compute the "
    "weights anew, at each start or at each call, and packs only constants for fast products.",
    mend="Fold them into initializers: PyTorch's older exporter (dynamo=False) does, the newer one "
    "leaves large weights; onnxruntime saves what it has folded at its basic optimization level "
    "(optimized_model_filepath). DequantizeLinear is never folded: quantize the layer's products "
    "instead. Initializers that are also inputs need keep_initializers_as_inputs=False.",
    severities=("warning",),
    find=_computed_weights,
)

UNQUANTIZED_RECURRENCE = Check(
    name="unquantized-recurrence",
    looks_for="a quantized file has recurrent layers in float32",
    costs="The largest part of the work is as slow, and of the file as large, as before.",
    mend="Engines have no quantized GRU or RNN, and quantize an LSTM only if its weights are "
    "initializers. Quantize a float32 file whose weights are stored, or write the cell in "
    "primitive operators and quantize its products, as Treadle's int8 does.",
    severities=("warning",),
    find=_unquantized,
)

NOT_FLOAT32 = Check(
    name="not-float32",
    looks_for="a recurrent layer computes in another type than float32",
    costs="In float64 onnxruntime fails, with LSTM and GRU only once it runs. In half precision it "
    "converts the layer's inputs and outputs at every call and computes in float32 all the same: "
    "no gain on a processor, and a little less exact.",
    mend="Convert the model to float32 before it is exported (PyTorch: module.float()). Half "
    "precision is for GPUs.",
    severities=("error", "note"),
    find=_other_type,
)
