"""Which products in integers an ONNX file holds, and how large their weights are."""

from __future__ import annotations

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
_INPUT, _OPERATOR, _ATTRIBUTE = 1, 4, 5  # of a node
_NAME, _INTEGER = 1, 3  # of an attribute
_RAW = 9  # of a tensor
_DTYPES = {2: "uint8", 3: "int8"}  # TensorProto.DataType
_UNKNOWN = 128  # the largest magnitude that int8 has


def products_of(bundle: Bundle, name: str) -> set[Product]:
    """Every kind of product in the file `name`, which `check_graph_file` has found sound.

    Weights count as large as the largest number of all int8 arrays of the file. Activations are
    taken for unsigned where the file does not say it.
    """
    nodes: list[memoryview] = []
    dtypes: dict[str, str] = {}
    largest = 0
    waiting = [("model", memoryview(bundle.read(name)))]
    while waiting:
        kind, message = waiting.pop()
        if kind == "tensor":
            tensor = read_tensor(message)
            if tensor.type in _DTYPES:
                dtypes[tensor.name] = _DTYPES[tensor.type]
            if _DTYPES.get(tensor.type) == "int8":
                largest = max(largest, _largest(bundle, message))
            continue
        if kind == "node":
            nodes.append(message)
        parts = PARTS[kind]
        waiting += [
            (parts[number], value)
            for number, value in fields(message)
            if number in parts and not isinstance(value, int)
        ]
    found = (_product(node, dtypes, largest) for node in nodes)
    return {product for product in found if product is not None}


def _product(node: memoryview, dtypes: dict[str, str], largest: int) -> Product | None:
    """What a node multiplies; None for one that multiplies no integers."""
    operator, inputs, numbers = "", [], {}
    for number, value in fields(node):
        if isinstance(value, int):
            continue
        if number == _OPERATOR:
            operator = _text(value)
        elif number == _INPUT:
            inputs.append(_text(value))
        elif number == _ATTRIBUTE:
            entry = dict(fields(value))
            text, integer = entry.get(_NAME), entry.get(_INTEGER, 0)
            if isinstance(text, memoryview) and isinstance(integer, int):
                numbers[_text(text)] = integer
    if operator == _IN_BLOCKS:
        return _in_blocks(numbers)
    if operator not in _WHOLE:
        return None
    places = _WHOLE[operator]

    def dtype(place: int | None, default: str) -> str:
        if place is None or place >= len(inputs):
            return default
        return dtypes.get(inputs[place], default)

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


def _largest(bundle: Bundle, message: memoryview) -> int:
    """The largest magnitude in an int8 array, wherever it lies."""
    tensor = read_tensor(message)
    array: Array
    if tensor.external:
        place = bundle.file(tensor.external["location"])
        offset = int(tensor.external.get("offset", 0))
        if not tensor.elements:
            return 0
        array = np.memmap(place, np.int8, "r", offset, (tensor.elements,))
    elif tensor.raw is not None:
        [*_, raw] = [v for n, v in fields(message) if n == _RAW and not isinstance(v, int)]
        array = np.frombuffer(raw, np.int8)
    else:
        return _UNKNOWN
    return max(int(array.max(initial=0)), -int(array.min(initial=0)))
