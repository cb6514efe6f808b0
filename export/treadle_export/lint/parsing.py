"""A file's bytes as an ONNX message, or an error that says what is there instead."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import DecodeError, Message

from treadle.errors import ExportError

_ORT_MAGIC = slice(4, 8), b"ORTM"
"""Where onnxruntime's own format names itself."""

_WITHOUT_OPSETS = 3  # below this IR version a model need not say its opsets


def parse_file(path: Path) -> onnx.ModelProto:
    """The model that a file holds, its external data left where they are.

    Raises ExportError when there is no such file, or when it holds no whole ONNX model.
    """
    return _parsed(_content(path), path)


def first_line(error: BaseException) -> str:
    """What the root of an error of another library says, short enough for a sentence."""
    while error.__cause__ is not None:
        error = error.__cause__
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


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
            f"({first_line(error)}); export or fetch it again"
        ) from error
    if not _is_text(proto):
        raise ExportError(
            f"expected an ONNX file, got {path}, in which names are no text: it is damaged or cut "
            f"short; export or fetch it again"
        )
    missing = _missing_part(proto)
    if missing:
        raise ExportError(
            f"expected an ONNX model in {path}, got one without {missing}; "
            f"it is none or is cut short: export or fetch it again"
        )
    return proto


def _is_text(message: Message) -> bool:
    """Whether every name is UTF-8; protobuf hands others out as bytes."""
    for field, value in message.ListFields():
        if field.type == field.TYPE_STRING:
            if not all(isinstance(name, str) for name in _several(value)):
                return False
        elif field.type == field.TYPE_MESSAGE and not all(map(_is_text, _several(value))):
            return False
    return True


def _several(value: Any) -> Iterable[Any]:
    """The values of a field, whether or not it may be repeated."""
    return (value,) if isinstance(value, str | bytes | Message) else value


def _missing_part(proto: onnx.ModelProto) -> str | None:
    """The first part that every model has and this one lacks; bytes of another kind may parse."""
    if proto.ir_version <= 0:
        return "an IR version"
    if not proto.HasField("graph") or not (proto.graph.node or proto.graph.output):
        return "a graph"
    if proto.ir_version >= _WITHOUT_OPSETS and not proto.opset_import:
        return "an opset"
    return None
