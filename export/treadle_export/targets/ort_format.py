"""Graphs in ORT format: optimized, with their weights inside, for engines that read nothing else.

The engine writes such a file itself (session option `session.save_model_format`). Of it all but one
part comes out the same every time: the table of the operators' type parameters is in the order of
a hash table, which differs from run to run. So that part is written anew, sorted.
Schema: onnxruntime/core/flatbuffers/schema/ort.fbs of microsoft/onnxruntime, format version 6.
"""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import flatbuffers
import onnxruntime
import onnxruntime.tools.ort_format_model  # makes ort_flatbuffers_py importable

from treadle.errors import ExportError
from treadle.session import engine_errors
from treadle_export.targets.kernels import ONNX_DOMAIN

_IDENTIFIER = b"ORTM"
_ALIGNMENT = 64  # of the whole file, and so of the tensors in it
_ROOM = 1 << 16  # bytes that the builder starts with beside the content; it grows
_DEVICE_LAYOUTS = ["NchwcTransformer"]
"""Optimizers that write for the processor that converts; onnxruntime's own tool leaves it out."""


def converted(files: Mapping[str, bytes], graph_file: str) -> bytes:
    """The ONNX graph `graph_file` of `files`, which hold its weights, in ORT format.

    Raises:
        ExportError: the engine does not take the graph.
    """
    with TemporaryDirectory(prefix="treadle-") as scratch:
        for name, content in files.items():
            (Path(scratch) / name).write_bytes(content)
        target = Path(scratch) / "converted.ort"
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 4
        options.optimized_model_filepath = str(target)
        options.add_session_config_entry("session.save_model_format", "ORT")
        try:
            onnxruntime.InferenceSession(
                str(Path(scratch) / graph_file),
                options,
                providers=["CPUExecutionProvider"],
                disabled_optimizers=_DEVICE_LAYOUTS,
            )
        except engine_errors() as error:
            raise ExportError(
                f"onnxruntime cannot write {graph_file} in ORT format: {error}; choose another "
                f"--target"
            ) from error
        return in_order(target.read_bytes())


def _fbs(name: str) -> Any:
    """A module of the engine's generated readers and writers, by the name of its table."""
    __import__(f"ort_flatbuffers_py.fbs.{name}")
    return sys.modules[f"ort_flatbuffers_py.fbs.{name}"]


def _root(content: bytes) -> Any:
    return _fbs("InferenceSession").InferenceSession.GetRootAsInferenceSession(content, 0)


def in_order(content: bytes) -> bytes:
    """The same file with its table of type parameters sorted.

    Buffers of this kind are built from their end, and refer from the front to the back: the model
    was finished before the table, lies behind it and stays byte for byte, as far from the end as
    it was. What stands in front of it is written anew.
    """
    root = _root(content)
    position = root.Model()._tab.Pos
    layout = position - root.Model()._tab.Get(flatbuffers.number_types.SOffsetTFlags, position)
    model = content[min(position, layout) :]
    builder = flatbuffers.Builder(len(model) + _ROOM)
    builder.head -= len(model)
    builder.Bytes[builder.head : builder.head + len(model)] = model
    builder.Prep(_ALIGNMENT, 0)
    table = _type_parameters(builder, root.KernelTypeStrResolver())
    version = builder.CreateString(root.OrtVersion())
    session = _fbs("InferenceSession")
    session.InferenceSessionStart(builder)
    session.InferenceSessionAddOrtVersion(builder, version)
    session.InferenceSessionAddModel(builder, len(content) - position)
    session.InferenceSessionAddKernelTypeStrResolver(builder, table)
    builder.Finish(session.InferenceSessionEnd(builder), file_identifier=_IDENTIFIER)
    return bytes(builder.Output())


def _type_parameters(builder: Any, table: Any) -> int:
    """Writes operator -> type parameter -> the inputs and outputs that have it; its offset."""
    resolver, entry = _fbs("KernelTypeStrResolver"), _fbs("OpIdKernelTypeStrArgsEntry")
    operators = []
    for operator in sorted(_items(table, "OpKernelTypeStrArgs"), key=lambda item: item.OpId()):
        written = _parameters(builder, operator)
        parameters = _vector(
            builder, entry.OpIdKernelTypeStrArgsEntryStartKernelTypeStrArgsVector, written
        )
        name = builder.CreateString(operator.OpId())
        entry.OpIdKernelTypeStrArgsEntryStart(builder)
        entry.OpIdKernelTypeStrArgsEntryAddOpId(builder, name)
        entry.OpIdKernelTypeStrArgsEntryAddKernelTypeStrArgs(builder, parameters)
        operators.append(entry.OpIdKernelTypeStrArgsEntryEnd(builder))
    vector = _vector(
        builder, resolver.KernelTypeStrResolverStartOpKernelTypeStrArgsVector, operators
    )
    resolver.KernelTypeStrResolverStart(builder)
    resolver.KernelTypeStrResolverAddOpKernelTypeStrArgs(builder, vector)
    return int(resolver.KernelTypeStrResolverEnd(builder))


def _parameters(builder: Any, operator: Any) -> list[int]:
    entry, argument = _fbs("KernelTypeStrArgsEntry"), _fbs("ArgTypeAndIndex")
    written = []
    named = sorted(_items(operator, "KernelTypeStrArgs"), key=lambda item: item.KernelTypeStr())
    for parameter in named:
        arguments = []
        for item in _items(parameter, "Args"):
            argument.ArgTypeAndIndexStart(builder)
            argument.ArgTypeAndIndexAddArgType(builder, item.ArgType())
            argument.ArgTypeAndIndexAddIndex(builder, item.Index())
            arguments.append(argument.ArgTypeAndIndexEnd(builder))
        vector = _vector(builder, entry.KernelTypeStrArgsEntryStartArgsVector, arguments)
        name = builder.CreateString(parameter.KernelTypeStr())
        entry.KernelTypeStrArgsEntryStart(builder)
        entry.KernelTypeStrArgsEntryAddKernelTypeStr(builder, name)
        entry.KernelTypeStrArgsEntryAddArgs(builder, vector)
        written.append(entry.KernelTypeStrArgsEntryEnd(builder))
    return written


def _items(table: Any, field: str) -> Iterator[Any]:
    for index in range(getattr(table, f"{field}Length")()):
        yield getattr(table, field)(index)


def _vector(builder: Any, start: Callable[[Any, int], Any], offsets: Sequence[int]) -> int:
    start(builder, len(offsets))
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return int(builder.EndVector())


Operator = tuple[str, int, str]
"""Domain, the version that its definition dates from, and name."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What a graph in ORT format holds, the bodies of its loops included.

    operators: operator -> its nodes; weights: bytes of all tensors.
    """

    operators: dict[Operator, int]
    weights: int


def contents(content: bytes) -> Contents:
    """Reads a graph in ORT format."""
    operators: dict[Operator, int] = {}
    weights = 0
    graphs = [_root(content).Model().Graph()]
    while graphs:
        graph = graphs.pop()
        weights += sum(tensor.RawDataLength() for tensor in _items(graph, "Initializers"))
        for node in _items(graph, "Nodes"):
            domain = node.Domain().decode() or ONNX_DOMAIN
            key = (domain, node.SinceVersion(), node.OpType().decode())
            operators[key] = operators.get(key, 0) + 1
            bodies = (attribute.G() for attribute in _items(node, "Attributes"))
            graphs += [body for body in bodies if body is not None]
    return Contents(operators, weights)
