"""Which products in integers an ONNX file holds, and how large their weights are."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from treadle.graph_file import PARTS, read_tensor
from treadle.integer_products import Product
from treadle.protobuf import fields

if TYPE_CHECKING:
    from treadle.arrays import Array
    from treadle.bundle import Bundle

# Operator -> which of its inputs are weights, and the zero point of activations (or none). All run
# the engine's one kernel of whole matrices in integers.
_WHOLE = {
    "MatMulInteger": (1, 2),
    "MatMulIntegerToFloat": (1, 4),
    "DynamicQuantizeMatMul": (1, None),
    "DynamicQuantizeLSTM": (1, None),
    "QLinearMatMul": (3, 2),
    "QGemm": (3, 2),
}
_IN_BLOCKS = "MatMulNBits"
_BITS, _BLOCK_SIZES = (4, 8), (16, 32, 64, 128, 256)
_INTEGER_ACTIVATIONS = 4  # of its attribute accuracy_level
_INPUT, _OUTPUT, _OPERATOR, _ATTRIBUTE = 1, 2, 4, 5  # of a node
_NAME, _INTEGER = 1, 3  # of an attribute
_RAW = 9  # of a tensor
_DTYPES = {2: "uint8", 3: "int8", 22: "int4"}  # TensorProto.DataType
_SIGNED = ("int8", "int4")
_UNKNOWN = 128  # the largest magnitude that int8 has


@dataclass(slots=True)
class _Node:
    """What this needs of a node."""

    operator: str = ""
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    numbers: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class _Array:
    """Of an array of integers, its dtype and its largest magnitude, 0 where that says nothing."""

    dtype: str
    largest: int


def products_of(bundle: Bundle, name: str) -> set[Product]:
    """Every kind of product in the file `name`, which `check_graph_file` has found sound.

    Weights count as large as the largest number of all int8 arrays of the file, and of those that
    it makes of two int4 arrays, one times the other. Activations are taken for unsigned where the
    file does not say it.
    """
    nodes: list[_Node] = []
    arrays: dict[str, _Array] = {}
    waiting = [("model", memoryview(bundle.read(name)))]
    while waiting:
        kind, message = waiting.pop()
        if kind == "tensor":
            tensor = read_tensor(message)
            if dtype := _DTYPES.get(tensor.type):
                largest = _largest(bundle, message, dtype) if dtype in _SIGNED else 0
                arrays[tensor.name] = _Array(dtype, largest)
            continue
        if kind == "node":
            nodes.append(_read_node(message))
        parts = PARTS[kind]
        waiting += [
            (parts[number], value)
            for number, value in fields(message)
            if number in parts and not isinstance(value, int)
        ]
    whole = [array.largest for array in arrays.values() if array.dtype == "int8"]
    largest = max([*whole, *_unpacked(nodes, arrays)], default=0)
    found = (_product(node, arrays, largest) for node in nodes)
    return {product for product in found if product is not None}


def _read_node(message: memoryview) -> _Node:
    node = _Node()
    for number, value in fields(message):
        if isinstance(value, int):
            continue
        if number == _OPERATOR:
            node.operator = _text(value)
        elif number == _INPUT:
            node.inputs.append(_text(value))
        elif number == _OUTPUT:
            node.outputs.append(_text(value))
        elif number == _ATTRIBUTE:
            entry = dict(fields(value))
            text, integer = entry.get(_NAME), entry.get(_INTEGER, 0)
            if isinstance(text, memoryview) and isinstance(integer, int):
                node.numbers[_text(text)] = integer
    return node


def _unpacked(nodes: list[_Node], arrays: dict[str, _Array]) -> list[int]:
    """The largest magnitude of each product of two int4 arrays that are cast before."""
    cast = {
        node.outputs[0]: arrays[node.inputs[0]].largest
        for node in nodes
        if node.operator == "Cast"
        and node.outputs
        and node.inputs
        and node.inputs[0] in arrays
        and arrays[node.inputs[0]].dtype == "int4"
    }
    products = [node.inputs for node in nodes if node.operator == "Mul"]
    return [cast[a] * cast[b] for a, b, *_ in products if a in cast and b in cast]


def _product(node: _Node, arrays: dict[str, _Array], largest: int) -> Product | None:
    """What a node multiplies; None for one that multiplies no integers."""
    operator, inputs = node.operator, node.inputs
    if operator == _IN_BLOCKS:
        return _in_blocks(node.numbers)
    if operator not in _WHOLE:
        return None
    places = _WHOLE[operator]

    def dtype(place: int | None, default: str) -> str:
        if place is None or place >= len(inputs) or inputs[place] not in arrays:
            return default
        return arrays[inputs[place]].dtype

    weights, activations = dtype(places[0], "int8"), dtype(places[1], "uint8")
    return Product(
        operator, activations, weights, 255 if weights == "uint8" else largest or _UNKNOWN
    )


def _in_blocks(numbers: dict[str, int]) -> Product | None:
    """A product in blocks; None in float32, and for sizes that the engine refuses by itself."""
    bits, block_size = numbers.get("bits", 4), numbers.get("block_size", 0)
    if (
        numbers.get("accuracy_level") != _INTEGER_ACTIVATIONS
        or bits not in _BITS
        or block_size not in _BLOCK_SIZES
    ):
        return None
    return Product(_IN_BLOCKS, bits=bits, block_size=block_size)


def _text(value: memoryview) -> str:
    """A name; one that is no text names nothing here, and the engine refuses it."""
    return str(value, "utf-8", "replace")


def _largest(bundle: Bundle, message: memoryview, dtype: str) -> int:
    """The largest magnitude in an int8 or int4 array, wherever it lies."""
    tensor = read_tensor(message)
    array: Array
    if tensor.external:
        place = bundle.file(tensor.external["location"])
        offset = int(tensor.external.get("offset", 0))
        if not tensor.elements:
            return 0
        array = np.memmap(place, np.int8, "r", offset, (tensor.bytes,))
    elif tensor.raw is not None:
        [*_, raw] = [v for n, v in fields(message) if n == _RAW and not isinstance(v, int)]
        array = np.frombuffer(raw, np.int8)
    else:
        return _UNKNOWN
    # Two numbers of 4 bits lie in a byte, the first one lower.
    halves = (array << 4 >> 4, array >> 4) if dtype == "int4" else (array,)
    return max(max(int(a.max(initial=0)), -int(a.min(initial=0))) for a in halves)
