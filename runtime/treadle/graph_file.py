"""What an ONNX file may ask of the engine that opens it, looked at before the engine is.

A file names places in other files, declares sizes, and can make an engine compute without end;
engines differ in how much of that they refuse, so it is refused here.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

from treadle.errors import BundleError
from treadle.manifest import EVIDENCE_FILES
from treadle.protobuf import fields, varints

if TYPE_CHECKING:
    from collections.abc import Iterator

    from treadle.bundle import Bundle

# Kind of message -> number of a field -> the kind of message in it; onnx.proto numbers them so.
PARTS = {
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
_TENSOR = 5  # of an attribute
_DIMS, _TYPE, _NAME, _RAW, _EXTERNAL, _ELSEWHERE = 1, 2, 8, 9, 13, 14  # of a tensor
_KEY, _VALUE = 1, 2  # of an entry of external data
# TensorProto.DataType -> bits of an element; text has none, and lies in no other file.
_BITS = {1: 32, 2: 8, 3: 8, 4: 16, 5: 16, 6: 32, 7: 64, 9: 8, 10: 16, 11: 64, 12: 32, 13: 64}
_BITS |= {14: 64, 15: 128, 16: 16, 17: 8, 18: 8, 19: 8, 20: 8, 21: 4, 22: 4, 23: 4, 24: 8}
_BITS |= {25: 2, 26: 2}
_TEXT = 8
# Field that holds numbers one by one -> types that it may hold, and bytes of each; 0: any number.
_ONE_BY_ONE = {
    4: ({1, 14}, 4),
    5: ({2, 3, 4, 5, 6, 9, 10, *range(16, 27)}, 0),
    7: ({7}, 0),
    10: ({11, 15}, 8),
    11: ({12, 13}, 0),
}
_TEXTS = 6
_COMPLEX = {14, 15}  # two numbers each
_LARGEST = 2**63
AGAIN = "do not use this bundle, or export it again"


class _Tensor:
    """What the file says of an array, and what it holds of it.

    raw: bytes, None where there are none. counts: field -> how many numbers or texts are in it.
    elsewhere: 1 where the file says that the array lies in another one.
    """

    __slots__ = ("counts", "dims", "elsewhere", "external", "name", "raw", "type")

    def __init__(self) -> None:
        self.name, self.type, self.elsewhere = "", 0, 0
        self.dims: list[int] = []
        self.external: dict[str, str] = {}
        self.raw: int | None = None
        self.counts: Counter[int] = Counter()

    @property
    def elements(self) -> int:
        return math.prod(self.dims)

    @property
    def bytes(self) -> int:
        """What they take, packed."""
        return -(-self.elements * _BITS[self.type] // 8)


def check_graph_file(bundle: Bundle, name: str) -> None:
    """Raise BundleError unless the ONNX file `name` keeps to the files of its bundle.

    External data must lie in listed files, within their sizes; an array in the file must have just
    what its shape needs; there may be no sparse arrays, no functions of the file's own, no
    training and no Loop, which no exporter writes and which can take any time or memory.
    """
    try:
        for tensor in _tensors(memoryview(bundle.read(name))):
            _check(tensor, bundle)
    except (ValueError, UnicodeDecodeError) as error:
        raise BundleError(f"{bundle.file(name)} is not a sound ONNX file: {error}; {AGAIN}") from (
            error
        )


def _tensors(content: memoryview) -> Iterator[_Tensor]:
    """Every array of the file, those of bodies and attributes too."""
    # A list, not calls: how deep a file nests is its own choice.
    waiting = [("model", content)]
    while waiting:
        kind, message = waiting.pop()
        if kind == "tensor":
            yield read_tensor(message)
            continue
        parts, arrays = PARTS[kind], 0
        for number, value in fields(message):
            if isinstance(value, int):
                continue
            if number in parts:
                if parts[number] == "sparse tensor":
                    raise ValueError("it has a sparse array")
                arrays += kind == "attribute" and number == _TENSOR
                if arrays > 1:
                    # An engine would join them, and what fits apart need not fit together.
                    raise ValueError("it has an attribute with two arrays in place of one")
                waiting.append((parts[number], value))
            elif kind == "node" and number == _OPERATOR and bytes(value) == b"Loop":
                raise ValueError("it has a Loop, which may never end")
            elif kind == "model" and number in (_TRAINING, _FUNCTIONS):
                raise ValueError("it has functions of its own, or training")


def read_tensor(message: memoryview) -> _Tensor:
    """What a file says of an array."""
    tensor = _Tensor()
    for number, value in fields(message):
        if number == _DIMS:
            tensor.dims += [value] if isinstance(value, int) else varints(value)
        elif number == _TYPE and isinstance(value, int):
            tensor.type = value
        elif number == _ELSEWHERE and isinstance(value, int):
            tensor.elsewhere = value
        elif number in _ONE_BY_ONE or number == _TEXTS:
            tensor.counts[number] += _count(number, value)
        elif isinstance(value, int):
            continue
        elif number == _RAW:
            tensor.raw = len(value)
        elif number == _NAME:
            tensor.name = str(value, "utf-8")
        elif number == _EXTERNAL:
            entry = {k: str(v, "utf-8") for k, v in fields(value) if isinstance(v, memoryview)}
            tensor.external[entry.get(_KEY, "")] = entry.get(_VALUE, "")
    return tensor


def _count(number: int, value: int | memoryview) -> int:
    """Numbers or texts in one occurrence of a field: one, or many that are packed."""
    if isinstance(value, int) or number == _TEXTS:
        return 1
    size = _ONE_BY_ONE[number][1]
    return len(value) // size if size else sum(1 for _ in varints(value))


def _check(tensor: _Tensor, bundle: Bundle) -> None:
    # A negative size is a huge unsigned one.
    if any(dim >= _LARGEST for dim in tensor.dims):
        raise ValueError(f"the array {tensor.name!r} has a negative size")
    if tensor.type not in _BITS and (tensor.type != _TEXT or tensor.external or tensor.raw):
        raise ValueError(f"the array {tensor.name!r} has the type {tensor.type}, which cannot be")
    if (tensor.elsewhere == 1) != bool(tensor.external) or (
        tensor.external and (tensor.raw or tensor.counts)
    ):
        raise ValueError(f"the array {tensor.name!r} lies in this file and in another one")
    if tensor.external:
        _check_external(tensor, bundle)
    elif tensor.raw is not None and tensor.type != _TEXT:
        if tensor.raw != tensor.bytes:
            raise _unfit(tensor, f"{tensor.bytes} bytes", tensor.raw)
    else:
        _check_one_by_one(tensor)


def _check_one_by_one(tensor: _Tensor) -> None:
    """Numbers written as a list: one an element, of complex ones two, of a few bits one a byte."""
    if tensor.type == _TEXT:
        place, needed = _TEXTS, tensor.elements
    else:
        place = next(n for n, (types, _) in _ONE_BY_ONE.items() if tensor.type in types)
        needed = tensor.elements * (2 if tensor.type in _COMPLEX else 1)
        needed = tensor.bytes if _BITS[tensor.type] < 8 else needed
    if tensor.counts[place] != needed:
        raise _unfit(tensor, f"{needed} numbers", tensor.counts[place])


def _unfit(tensor: _Tensor, needed: str, found: int) -> ValueError:
    return ValueError(f"the array {tensor.name!r} needs {needed}, but has {found}")


def _check_external(tensor: _Tensor, bundle: Bundle) -> None:
    places = bundle.manifest.files
    location = tensor.external.get("location", "")
    if location not in places or location in EVIDENCE_FILES:
        raise ValueError(
            f"the array {tensor.name!r} lies in {location[:200]!r}, which is not in files of "
            "the model"
        )
    needed = tensor.bytes
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
