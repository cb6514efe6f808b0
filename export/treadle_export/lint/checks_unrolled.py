"""A loop over time that was written out: the same weights again and again, each after the last."""

from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise

import onnx_ir as ir

from treadle_export.lint.finding import Check, Found
from treadle_export.lint.subject import Subject, label, listed
from treadle_export.lint.values import constant

_FEWEST = 3  # steps; two uses of the same weights may have other reasons

_PRODUCTS = {"MatMul", "Gemm", "MatMulInteger", "DynamicQuantizeMatMul", "MatMulNBits"}
_SQUASHES = {"Tanh", "Sigmoid", "Relu", "HardSigmoid", "Softsign", "Elu", "LeakyRelu"}
_REWRITES = {"DequantizeLinear", "Transpose", "Cast", "Identity"}
_DEEPEST = 8  # rewrites of a weight one after another; a damaged graph may go in circles
_PICKS = {"Gather", "Slice"}
_SPLITS = {"Split", "SplitToSequence"}


def _unrolled(subject: Subject) -> Iterator[Found]:
    chains = defaultdict[tuple[int, ir.Value], list[tuple[str, ir.Node]]](list)
    for weights, products in _repeated(subject):
        read = _read_at_every_step(products)
        if read is not None:
            chains[len(products), read].append((str(weights.name), products[0]))
    for (steps, read), uses in chains.items():
        yield Found(
            "warning",
            f"a loop over time was written out as {steps} steps: as many products with the "
            f"weights {listed(sorted(name for name, _ in uses))} follow one another, and each "
            f"step reads {read.name!r} anew",
            label(uses[0][1]),
        )


def _repeated(subject: Subject) -> Iterator[tuple[ir.Value, list[ir.Node]]]:
    """Stored weights with the products that use them, where these are several."""
    uses = defaultdict[ir.Value, list[ir.Node]](list)
    for node in subject.nodes:
        for value in node.inputs[:2] if node.op_type in _PRODUCTS else ():
            if value is not None and constant(stored := _stored(value)) is not None:
                uses[stored].append(node)
    yield from ((value, nodes) for value, nodes in uses.items() if len(nodes) >= _FEWEST)


def _stored(value: ir.Value) -> ir.Value:
    """What a value is before it is dequantized, transposed or cast."""
    for _ in range(_DEEPEST):
        node = value.producer()
        if node is None or node.op_type not in _REWRITES or not node.inputs:
            break
        value = node.inputs[0] if node.inputs[0] is not None else value
    return value


def _read_at_every_step(products: list[ir.Node]) -> ir.Value | None:
    """What each step picks a part of, if every product leads to the next through a squashing one.

    Steps that share their weights but read nothing anew are layers stacked in depth.
    """
    seen = set[ir.Node]()
    _cone(products[0], seen)
    common: set[ir.Value] | None = None
    for before, after in pairwise(products):
        new, reached, picked = _cone(after, seen)
        if before not in reached or not any(node.op_type in _SQUASHES for node in new):
            return None
        common = picked if common is None else common & picked
    return min(common, key=lambda value: str(value.name)) if common else None


def _cone(end: ir.Node, seen: set[ir.Node]) -> tuple[list[ir.Node], set[ir.Node], set[ir.Value]]:
    """The nodes that lead to `end` and are not in `seen`, which they join.

    Also: the seen ones at its border, and the values of which it picks a part.
    """
    new, border, picked = list[ir.Node](), set[ir.Node](), set[ir.Value]()
    waiting = [end]
    seen.add(end)
    while waiting:
        node = waiting.pop()
        new.append(node)
        if node.op_type in _PICKS and node.inputs and node.inputs[0] is not None:
            picked.add(node.inputs[0])
        for value in node.inputs:
            before = None if value is None else value.producer()
            if before is None:
                continue
            if before.op_type in _SPLITS and before.inputs and before.inputs[0] is not None:
                picked.add(before.inputs[0])
            if before in seen:
                border.add(before)
            else:
                seen.add(before)
                waiting.append(before)
    return new, border, picked


UNROLLED = Check(
    name="unrolled",
    looks_for="a loop over time was written out step by step",
    costs="The number of steps is built in, the graph grows with it, and no engine or tool "
    "recognises a recurrent layer in it, neither to speed it up nor to quantize it.",
    mend="Let nn.LSTM, nn.GRU or nn.RNN read whole sequences and export that as one node "
    "(PyTorch's newer exporter writes nn.RNN out all the same; the older one, dynamo=False, does "
    "not), or export a single step with its state as input and output and loop outside.",
    severities=("warning",),
    find=_unrolled,
)
