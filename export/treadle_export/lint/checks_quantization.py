"""Integers that are not the same everywhere, and scales that a row shares with its neighbours."""

from collections import defaultdict
from collections.abc import Iterator

import numpy as np
import onnx_ir as ir

from treadle_export.lint.finding import Check, Found
from treadle_export.lint.quantization import unsigned_by
from treadle_export.lint.recurrences import DYNAMIC_LSTM
from treadle_export.lint.subject import Subject, label, listed
from treadle_export.lint.values import dims, numbers

_SAFE_WEIGHT = 64
"""Two products of 255 and this still fit into the 16 bits that older processors add them in."""

_SHARED_SCALES = ("DynamicQuantizeLinear", "DynamicQuantizeMatMul", DYNAMIC_LSTM)


def _saturating(subject: Subject) -> Iterator[Found]:
    worst = dict[str, int]()
    found = defaultdict[str, list[ir.Node]](list)
    for node in subject.nodes:
        largest = max((_largest(weight) for weight in unsigned_by(node)), default=0)
        if largest > _SAFE_WEIGHT:
            found[node.op_type].append(node)
            worst[node.op_type] = max(largest, worst.get(node.op_type, 0))
    for kind, nodes in found.items():
        yield Found(
            "warning",
            f"{_counted(kind, nodes)}: unsigned activations by signed 8-bit weights of up to "
            f"{worst[kind]}",
            label(nodes[0]),
        )


def _largest(weight: ir.Value) -> int:
    """The largest magnitude among signed 8-bit weights; 0 for others, or where unknown."""
    array = numbers(weight)
    if array is None or array.dtype != np.int8 or not array.size:
        return 0
    return int(np.abs(array.astype(np.int16)).max())


def _shared_scale(subject: Subject) -> Iterator[Found]:
    found = defaultdict[str, list[ir.Node]](list)
    for node in subject.nodes:
        if node.op_type in _SHARED_SCALES and not _is_one_row(node):
            found[node.op_type].append(node)
    for kind, nodes in found.items():
        yield Found(
            "warning",
            f"{_counted(kind, nodes)}: activations of all rows and steps share one scale",
            label(nodes[0]),
        )


def _is_one_row(node: ir.Node) -> bool:
    """Whether the tensor it scales is a single row in every call, and so has no neighbours."""
    sizes = dims(node.inputs[0]) if node.inputs else None
    return sizes is not None and all(size == 1 for size in sizes[:-1])


def _counted(kind: str, nodes: list[ir.Node]) -> str:
    plural = "node" if len(nodes) == 1 else "nodes"
    return f"{len(nodes)} {kind} {plural} ({listed([label(node) for node in nodes])})"


SATURATING_PRODUCT = Check(
    name="saturating-product",
    looks_for="unsigned activations are multiplied by signed 8-bit weights of full range",
    costs="On x86 processors without VNNI (Intel's before 2019, AMD's before 2022, and some "
    "later) the sum of two such products overflows 16 bits and is cut off: the model answers "
    "otherwise there than where it was tested.",
    mend="Quantize with reduce_range=True (weights of 7 bits) or with Treadle's int8. Unsigned "
    "weights do it too, but onnxruntime's quantizer gives an LSTM signed ones whatever is asked. "
    "A program that opens the session itself may set session.x64quantprecision=1.",
    severities=("warning",),
    find=_saturating,
)

TENSOR_WISE_SCALE = Check(
    name="tensor-wise-scale",
    looks_for="activations are quantized with one scale over the whole tensor",
    costs="A row beside a loud neighbour is quantized more coarsely than alone, and a chunk "
    "otherwise than the same steps one by one: answers depend on who shares the call.",
    mend="Give each row its own scale (Treadle's int8), or quantize the weights alone "
    "(MatMulNBits); or call with one row and one step only.",
    severities=("warning",),
    find=_shared_scale,
)
