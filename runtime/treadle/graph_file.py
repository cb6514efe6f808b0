"""What an ONNX file may ask of the engine that opens it, looked at before the engine is.

A file names places in other files, declares sizes, and can make an engine compute without end;
engines differ in how much of that they refuse, so it is refused here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from treadle.errors import BundleError
from treadle.manifest import EVIDENCE_FILES
from treadle.protobuf import fields, varints

if TYPE_CHECKING:
    from collections.abc import Iterator

    from treadle.bundle import Bundle

# Kind of message -> number of a field -> the kind of message in it; onnx.proto numbers them so.
_PARTS = {
    "model": {7: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse tensor"},
    "node": {5: "attribute"},
    "attribute": {
        5: "tensor",
        6: "graph",
        10: "tensor",
        11: "graph",
        22: "sparse tensor",
        23: "sparse tensor",
    },
    "tensor": {},
}
_TRAINING, _FUNCTIONS = 20, 25  # of a model
_OPERATOR = 4  # of a node
_DIMS, _TYPE, _NAME, _EXTERNAL = 1, 2, 8, 13  # of a tensor
_KEY, _VALUE = 1, 2  # of an entry of external data
# TensorProto.DataType -> bits of an element; of others (strings) nothing lies in another file.
_BITS = {1: 32, 2: 8, 3: 8, 4: 16, 5: 16, 6: 32, 7: 64, 9: 8, 10: 16, 11: 64, 12: 32, 13: 64}
_BITS |= {14: 64, 15: 128, 16: 16, 17: 8, 18: 8, 19: 8, 20: 8, 21: 4, 22: 4, 23: 4, 24: 8}
_BITS |= {25: 2, 26: 2}
_DENSEST = 4
"""Elements that a byte of a file holds at most."""
_LARGEST = 2**63
AGAIN = "do not use this bundle, or export it again"


@dataclass(slots=True)
class _Tensor:
    """What the file says of an array: how large it is, and where it lies when not in the file."""

    name: str = ""
    type: int = 0
    dims: list[int] = field(default_factory=list)
    external: dict[str, str] = field(default_factory=dict)

    @property
    def elements(self) -> int:
        return math.prod(self.dims)


def check_graph_file(bundle: Bundle, name: str) -> None:
    """Raise BundleError unless the ONNX file `name` keeps to the files of its bundle.

    External data must lie in listed files, within their sizes; an array in the file must have as
    many bytes as its shape needs; there may be no sparse arrays, no functions of the file's own, no
    training and no Loop, which no exporter writes and which can take any time or memory.
    """
    try:
        for tensor, size in _tensors(memoryview(bundle.read(name))):
            _check(tensor, size, bundle)
    except (ValueError, UnicodeDecodeError) as error:
        raise BundleError(f"{bundle.file(name)} is not a sound ONNX file: {error}; {AGAIN}") from (
            error
        )


def _tensors(content: memoryview) -> Iterator[tuple[_Tensor, int]]:
    """Every array of the file with the bytes it has there, those of bodies and attributes too."""
    # A list, not calls: how deep a file nests is its own choice.
    waiting = [("model", content)]
    while waiting:
        kind, message = waiting.pop()
        if kind == "tensor":
            yield _read_tensor(message), len(message)
            continue
        parts = _PARTS[kind]
        for number, value in fields(message):
            if isinstance(value, int):
                continue
            if number in parts:
                if parts[number] == "sparse tensor":
                    raise ValueError("it has a sparse array")
                waiting.append((parts[number], value))
            elif kind == "node" and number == _OPERATOR and bytes(value) == b"Loop":
                raise ValueError("it has a Loop, which may never end")
            elif kind == "model" and number in (_TRAINING, _FUNCTIONS):
                raise ValueError("it has functions of its own, or training")


def _read_tensor(message: memoryview) -> _Tensor:
    tensor = _Tensor()
    for number, value in fields(message):
        if number == _DIMS:
            tensor.dims += [value] if isinstance(value, int) else varints(value)
        elif number == _TYPE and isinstance(value, int):
            tensor.type = value
        elif isinstance(value, int):
            continue
        elif number == _NAME:
            tensor.name = str(value, "utf-8")
        elif number == _EXTERNAL:
            entry = {k: str(v, "utf-8") for k, v in fields(value) if isinstance(v, memoryview)}
            tensor.external[entry.get(_KEY, "")] = entry.get(_VALUE, "")
    return tensor


def _check(tensor: _Tensor, size: int, bundle: Bundle) -> None:
    # A negative size is a huge unsigned one.
    if any(dim >= _LARGEST for dim in tensor.dims):
        raise ValueError(f"the array {tensor.name!r} has a negative size")
    if tensor.external:
        _check_external(tensor, bundle)
    elif tensor.elements > size * _DENSEST:
        raise ValueError(
            f"the array {tensor.name!r} declares {tensor.elements} elements, but has {size} bytes"
        )


def _check_external(tensor: _Tensor, bundle: Bundle) -> None:
    places = bundle.manifest.files
    location = tensor.external.get("location", "")
    if location not in places or location in EVIDENCE_FILES:
        raise ValueError(
            f"the array {tensor.name!r} lies in {location[:200]!r}, which is not in files of "
            "the model"
        )
    if tensor.type not in _BITS:
        raise ValueError(f"the array {tensor.name!r} in {location} has the type {tensor.type}")
    needed = -(-tensor.elements * _BITS[tensor.type] // 8)
    offset = _number(tensor, "offset", 0)
    length = _number(tensor, "length", needed)
    if length != needed or offset + length > places[location].bytes:
        raise ValueError(
            f"the array {tensor.name!r} needs {needed} bytes and takes {length} from byte {offset} "
            f"of {location}, which has {places[location].bytes}"
        )


def _number(tensor: _Tensor, key: str, default: int) -> int:
    text = tensor.external.get(key)
    if text is None:
        return default
    if not (text.isascii() and text.isdecimal() and len(text) <= 19):
        raise ValueError(f"the array {tensor.name!r} has the {key} {text[:40]!r}")
    return int(text)
