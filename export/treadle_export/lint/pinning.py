"""Follows the time and batch axes of a layer's outputs to a Reshape that writes numbers on them."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

import onnx_ir as ir

from treadle_export.lint.recurrences import RecurrentLayer, integers_of
from treadle_export.lint.values import dims, integers

_KEEP = {"Identity", "Cast", "Dropout", "LayerNormalization", "Relu", "Sigmoid", "Tanh"}
_FREE = ("time", "batch")

Axes = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Pin:
    """A Reshape node that makes `number` of a free axis, "time" or "batch"."""

    node: ir.Node
    axis: str
    number: int
    target: tuple[int, ...]


def pinned(layer: RecurrentLayer) -> Iterator[Pin]:
    """Every pin that a layer's outputs meet while their axes can be followed."""
    state = ("batch", "directions", "hidden") if layer.is_batch_first else ("directions", "batch")
    outputs: dict[str, Axes] = {
        "Y": ("batch", "time", "directions", "hidden")
        if layer.is_batch_first
        else ("time", "directions", "batch", "hidden"),
        "Y_h": (*state[:2], "hidden"),
        "Y_c": (*state[:2], "hidden"),
    }
    waiting = [(layer.made(name), axes) for name, axes in outputs.items()]
    seen = set[ir.Value]()
    while waiting:
        value, axes = waiting.pop()
        if value is None or value in seen:
            continue
        seen.add(value)
        for node, position in value.uses():
            if position == 0 and node.op_type == "Reshape":
                yield from _pins(node, axes)
            elif position == 0 and node.outputs and (moved := _moved(node, axes)):
                waiting.append((node.outputs[0], moved))


def _moved(node: ir.Node, axes: Axes) -> Axes | None:
    """The axes of a node's first output, None where they cannot be followed."""
    if node.op_type in _KEEP:
        return axes
    if node.op_type == "Transpose":
        order = integers_of(node, "perm") or tuple(reversed(range(len(axes))))
        return tuple(axes[i] for i in order) if sorted(order) == list(range(len(axes))) else None
    if node.op_type in ("Squeeze", "Unsqueeze"):
        given = integers(node.inputs[1]) if len(node.inputs) > 1 else integers_of(node, "axes")
        return None if given is None else _resized(node.op_type, axes, given)
    return None


def _resized(op_type: str, axes: Axes, given: tuple[int, ...]) -> Axes | None:
    rank = len(axes) + (len(given) if op_type == "Unsqueeze" else 0)
    places = {place % rank for place in given if -rank <= place < rank}
    if op_type == "Squeeze":
        return tuple(axis for place, axis in enumerate(axes) if place not in places)
    rest = iter(axes)
    return tuple("one" if place in places else next(rest, "one") for place in range(rank))


def _pins(node: ir.Node, axes: Axes) -> Iterator[Pin]:
    target = integers(node.inputs[1]) if len(node.inputs) > 1 else None
    sizes = dims(node.inputs[0])
    if target is None or sizes is None or len(sizes) != len(axes):
        return
    if any(size is None and axis not in _FREE for axis, size in zip(axes, sizes, strict=True)):
        return
    copied = {place for place, number in enumerate(target) if number == 0}
    known = prod(size for place, size in enumerate(sizes) if size and place not in copied)
    # While the written numbers only regroup what is known, free axes pass through 0 or -1.
    if known % prod(number for number in target if number > 0) == 0:
        return
    for axis, size, number in zip(axes, sizes, target, strict=False):
        if number == -1 and len(target) < len(axes):
            return  # it may take in several axes, and places no longer correspond
        if axis in _FREE and size is None and number > 0:
            yield Pin(node, axis, number, target)
