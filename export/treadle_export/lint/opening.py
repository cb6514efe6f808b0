"""Reads an ONNX file as data: runs nothing of it, and believes no shape that it claims."""

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import onnx
import onnx.inliner
import onnx_ir as ir

from treadle.errors import UnsupportedGraph
from treadle_export.lint.parsing import first_line, parse_file


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
    proto = parse_file(path)
    try:
        zero_inputs = _zero_inputs(proto.graph)
        _forget_claims(proto)
        with _silenced():
            model = ir.from_proto(_inferred(_inlined(proto)))
        _refuse_undefined(model, {tensor.values.name for tensor in proto.graph.sparse_initializer})
    # Every way in which a forged or damaged graph has been seen to fail on its way in.
    except (RuntimeError, ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
        raise UnsupportedGraph(
            f"expected a valid ONNX graph in {path}, got one that cannot be read: "
            f"{first_line(error)}; check it with onnx.checker, or export it again"
        ) from error
    directory = path.parent
    for graph in (model.graph, *(function.graph for function in model.functions.values())):
        ir.external_data.set_base_dir(graph, directory)
    return Opened(model, zero_inputs)


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


def _zero_inputs(graph: onnx.GraphProto) -> tuple[str, ...]:
    stored = {tensor.name for tensor in graph.initializer}
    declared = (value for value in graph.input if value.name not in stored)
    return tuple(value.name for value in declared if _has_zero(value))


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


def _refuse_undefined(model: ir.Model, sparse: set[str]) -> None:
    """Raises ValueError for a value that a node or the model itself uses and nothing makes.

    sparse: names of sparse initializers, which onnx_ir does not read.
    """
    nodes = ir.traversal.RecursiveGraphIterator(model.graph)
    used = (value for node in nodes for value in node.inputs if value is not None)
    for value in (*used, *model.graph.outputs):
        made = value.producer() is not None or value.is_graph_input() or value.is_initializer()
        if not made and value.name not in sparse:
            raise ValueError(f"nothing makes the value {value.name!r}")


@contextmanager
def _silenced() -> Iterator[None]:
    """Keeps onnx_ir from logging what is an error here."""
    logger = logging.getLogger("onnx_ir")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)
