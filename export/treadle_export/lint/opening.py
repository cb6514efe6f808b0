"""Reads an ONNX file as data: runs nothing of it, and believes no shape that it claims."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import onnx
import onnx.inliner
import onnx_ir as ir
from google.protobuf.message import DecodeError

from treadle.errors import ExportError, UnsupportedGraph

_ORT_MAGIC = slice(4, 8), b"ORTM"
"""Where onnxruntime's own format names itself."""

_WITHOUT_OPSETS = 3  # below this IR version a model need not say its opsets


@dataclass(frozen=True, slots=True)
class Opened:
    """A model as it was read; `zero_inputs` are the names of inputs declared with a size of 0."""

    model: ir.Model
    zero_inputs: tuple[str, ...]


def open_model(path: Path) -> Opened:
    """The model in a file, local functions inlined, shapes inferred from its inputs alone.

    Exporters write wrong sizes on outputs and intermediate values, and 0 for what they do not
    know. What counts is what the operators make of the declared inputs: an engine holds a caller
    to these and to nothing else.

    Raises:
        ExportError: there is no such file, or it is no whole ONNX model.
        UnsupportedGraph: it is one, but names, types or attributes in it contradict each other.
    """
    proto = _parsed(_content(path), path)
    try:
        zero_inputs = tuple(value.name for value in proto.graph.input if _has_zero(value))
        _forget_claims(proto)
        model = ir.from_proto(_inferred(_inlined(proto)))
    # Every way in which a forged or damaged graph has been seen to fail on its way in.
    except (RuntimeError, ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
        raise UnsupportedGraph(
            f"expected a valid ONNX graph in {path}, got one that cannot be read: "
            f"{_first_line(error)}; check it with onnx.checker, or export it again"
        ) from error
    directory = path.parent
    for graph in (model.graph, *(function.graph for function in model.functions.values())):
        ir.external_data.set_base_dir(graph, directory)
    return Opened(model, zero_inputs)


def _content(path: Path) -> bytes:
    if path.is_dir():
        raise ExportError(f"expected an ONNX file, got the directory {path}; name the file in it")
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise ExportError(f"expected an ONNX file, got no file {path}; check the path") from error
    except (OSError, ValueError) as error:
        raise ExportError(f"cannot read {path}: {error}; check the path and its rights") from error
    if not content:
        raise ExportError(f"expected an ONNX file, got {path} of 0 bytes; export or fetch it again")
    return content


def _parsed(content: bytes, path: Path) -> onnx.ModelProto:
    place, magic = _ORT_MAGIC
    if content[place] == magic:
        raise ExportError(f"{path} is in onnxruntime's own format; name the ONNX file it came from")
    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(content)
    except (DecodeError, ValueError, RuntimeError) as error:
        raise ExportError(
            f"expected an ONNX file, got {path}, which is none or is cut short or damaged "
            f"({_first_line(error)}); export or fetch it again"
        ) from error
    missing = _missing_part(proto)
    if missing:
        raise ExportError(
            f"expected an ONNX model in {path}, got one without {missing}; "
            f"it is none or is cut short: export or fetch it again"
        )
    return proto


def _missing_part(proto: onnx.ModelProto) -> str | None:
    """The first part that every model has and this one lacks; bytes of another kind may parse."""
    if proto.ir_version <= 0:
        return "an IR version"
    if not proto.HasField("graph") or not (proto.graph.node or proto.graph.output):
        return "a graph"
    if proto.ir_version >= _WITHOUT_OPSETS and not proto.opset_import:
        return "an opset"
    return None


def _forget_claims(proto: onnx.ModelProto) -> None:
    """Drops every declared shape; of the model's inputs, only sizes that are not positive."""
    for value in proto.graph.input:
        if _is_tensor(value):
            for dimension in value.type.tensor_type.shape.dim:
                if dimension.HasField("dim_value") and dimension.dim_value <= 0:
                    dimension.ClearField("dim_value")
    _forget_shapes(proto.graph.output)
    del proto.graph.value_info[:]
    _forget_in_bodies(proto.graph.node)
    for function in proto.functions:
        del function.value_info[:]
        _forget_in_bodies(function.node)


def _forget_in_bodies(nodes: Iterable[onnx.NodeProto]) -> None:
    for attribute in (attribute for node in nodes for attribute in node.attribute):
        for body in (*([attribute.g] if attribute.HasField("g") else ()), *attribute.graphs):
            _forget_shapes((*body.input, *body.output))
            del body.value_info[:]
            _forget_in_bodies(body.node)


def _forget_shapes(values: Iterable[onnx.ValueInfoProto]) -> None:
    for value in values:
        if _is_tensor(value):
            value.type.tensor_type.ClearField("shape")


def _has_zero(value: onnx.ValueInfoProto) -> bool:
    sizes = value.type.tensor_type.shape.dim if _is_tensor(value) else ()
    return any(size.HasField("dim_value") and size.dim_value == 0 for size in sizes)


def _is_tensor(value: onnx.ValueInfoProto) -> bool:
    return bool(value.type.WhichOneof("value") == "tensor_type")


def _inlined(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Local functions written out; those that cannot be are left, and looked into as they are."""
    if not proto.functions:
        return proto
    try:
        return onnx.inliner.inline_local_functions(proto)
    except (onnx.checker.ValidationError, RuntimeError):
        return proto


def _inferred(proto: onnx.ModelProto) -> onnx.ModelProto:
    """With the shapes that follow from the inputs; without any where inference gives up."""
    try:
        return onnx.shape_inference.infer_shapes(proto, data_prop=True)
    except (
        onnx.shape_inference.InferenceError,
        onnx.checker.ValidationError,
        RuntimeError,
        ValueError,
    ):
        return proto


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
