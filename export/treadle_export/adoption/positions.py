"""Turns positions that a graph counts from its first step into state: a stream goes on counting.

A graph counts with Range over the length of its input, the same for every row. Where that meets
values of the batch, each row's own count of steps so far is added.
"""

from collections.abc import Iterator

import numpy as np
import onnx_ir as ir

from treadle.errors import UnsupportedGraph
from treadle.manifest import StatePort
from treadle_export.adoption.probing import Probed
from treadle_export.passes.rewriting import Emitter

NAME = "position"
_SHAPING = frozenset({"Unsqueeze", "Reshape", "Identity", "Cast"})
_SHIFTING = frozenset({"Add", "Sub"})


def carry_positions(graph: ir.Graph, probed: Probed) -> Iterator[StatePort]:
    """Adds the count of steps so far to every Range over time; one state [batch] serves all.

    Raises:
        UnsupportedGraph: a position is used in a way that a count cannot be added to.
    """
    ranges = [
        node
        for node in graph
        if node.op_type == "Range" and _grows(probed, str(node.outputs[0].name))
    ]
    if not ranges:
        return
    count = ir.Value(
        name=f"state.{NAME}", shape=ir.Shape(["batch"]), type=ir.TensorType(ir.DataType.INT64)
    )
    graph.inputs.append(count)
    for node in ranges:
        for value in _where_it_meets(node.outputs[0], probed):
            _add_count(graph, value, count, probed)
    _count_on(graph, ranges[-1], count)
    yield StatePort(NAME, f"state.{NAME}", f"next_state.{NAME}", "int64", ("batch",), "zeros")


def _grows(probed: Probed, name: str) -> bool:
    axes = probed.axes.get(name)
    return axes is not None and axes.time is not None


def _where_it_meets(value: ir.Value, probed: Probed) -> list[ir.Value]:
    """The last values on each way from a Range that hold the position plus a constant."""
    found: list[ir.Value] = []
    for node, _ in value.uses():
        out = node.outputs[0]
        others = [v for v in node.inputs if v is not None and v is not value]
        plain = all(_is_still(probed, v) for v in others)
        first = node.inputs[0] is value
        if (node.op_type in _SHAPING and plain) or (node.op_type in _SHIFTING and plain and first):
            found += _where_it_meets(out, probed)
        elif not any(value is known for known in found):
            found.append(value)
    return found


def _is_still(probed: Probed, value: ir.Value) -> bool:
    """Whether a value is the same for every row and every step."""
    axes = probed.axes.get(str(value.name))
    return axes is None or (axes.time is None and axes.batch is None)


def _add_count(graph: ir.Graph, value: ir.Value, count: ir.Value, probed: Probed) -> None:
    """Puts `value + count` in the place of `value`, the count along the batch axis."""
    users = list(value.uses())
    e = Emitter(graph)
    name = str(value.name)
    shape = probed.values[name].shape
    axes = probed.axes[name]
    user_axes = next(
        (probed.axes[str(n.outputs[0].name)] for n, _ in users if n.outputs[0].name), None
    )
    if axes.time is None or user_axes is None or user_axes.batch is None or user_axes.time is None:
        raise UnsupportedGraph(
            f"expected the position {name!r} to meet values of the batch, got the shape "
            f"{list(shape)}; compute it with torch.arange of the number of steps"
        )
    rank = probed.values[str(users[0][0].outputs[0].name)].ndim
    missing = rank - len(shape)
    time = axes.time + missing
    if time != user_axes.time or user_axes.batch >= rank:
        raise UnsupportedGraph(
            f"expected the position {name!r} to lie along the time axis {user_axes.time} of what "
            f"it meets, got the axis {time}; give it that place with unsqueeze"
        )
    wide = e.op("Unsqueeze", value, e.axes(*range(missing))) if missing else value
    ones = [axis for axis in range(rank) if axis != user_axes.batch]
    steps = e.op("Unsqueeze", count, e.axes(*ones))
    dtype = value.dtype or ir.DataType.from_numpy(probed.values[name].dtype)
    moved = e.op("Add", wide, e.op("Cast", steps, to=dtype))
    e.name_after(f"{name}.counted.")
    node = value.producer()
    if node is None:
        raise UnsupportedGraph(f"expected {name!r} to be computed, got an input")
    graph.insert_after(node, e.nodes)
    for user, index in users:
        user.replace_input_with(index, moved)


def _count_on(graph: ir.Graph, node: ir.Node, count: ir.Value) -> None:
    """The count after this call: as many more as the Range had steps."""
    e = Emitter(graph)
    steps = e.op("Gather", e.op("Shape", node.outputs[0]), e.constant(np.int64(0)), axis=0)
    following = e.op("Add", count, steps)
    following.name = f"next_state.{NAME}"
    following.shape, following.type = count.shape, count.type
    e.name_after(f"{NAME}.")
    graph.insert_after(node, e.nodes)
    graph.outputs.append(following)
