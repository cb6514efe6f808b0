"""Turns what looks back along time into state: convolutions, padding, running sums, positions.

A graph over a whole sequence puts zeros before its first step. A stream puts there what it has
seen: the padding becomes a cache of as many steps, carried like any other state. What looks at all
of time at once, or ahead, has no such form and is refused by name.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

from treadle.errors import UnsupportedGraph
from treadle.manifest import StatePort
from treadle_export.adoption.positions import carry_positions
from treadle_export.adoption.probing import Axes, Probed
from treadle_export.adoption.recurrences import roots_of
from treadle_export.passes.rewriting import Emitter, constant_array, given

_OVER_ALL_TIME = frozenset(
    {"ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2", "ReduceProd"}
    | {"ReduceLogSumExp", "ReduceSumSquare", "Softmax", "LogSoftmax", "ArgMax", "ArgMin", "TopK"}
    | {"GlobalAveragePool", "GlobalMaxPool", "InstanceNormalization", "LayerNormalization"}
    | {"ReverseSequence", "Attention"}
)


@dataclass(frozen=True, slots=True)
class Rewrite:
    """One graph being rewritten, with what was seen of its values."""

    graph: ir.Graph
    probed: Probed

    def axes(self, value: ir.Value | None) -> Axes:
        """Batch and time axis of a value; none of either for one that was not looked at."""
        return (
            self.probed.axes.get(str(value.name), Axes(None, None)) if value else Axes(None, None)
        )

    def port(self, name: str, template: ir.Value, frames: int | None) -> tuple[ir.Value, StatePort]:
        """A new state input like `template`, `frames` long in time (None: without that axis).

        The port is laid out as the value is, its batch axis first.
        """
        axes = self.axes(template)
        seen = self.probed.values[str(template.name)]
        if axes.batch is None or axes.time is None:
            raise UnsupportedGraph(
                f"expected {template.name!r} to have a batch and a time axis, got the shape "
                f"{list(seen.shape)} for both; give every row its own"
            )
        shape: list[int | str] = ["batch"]
        for axis, size in enumerate(seen.shape):
            if axis == axes.batch or (axis == axes.time and frames is None):
                continue
            shape.append(size if axis != axes.time or frames is None else frames)
        value = ir.Value(
            name=f"state.{name}", shape=ir.Shape(shape), type=ir.TensorType(_dtype(seen.dtype))
        )
        self.graph.inputs.append(value)
        port = StatePort(
            name=name,
            input=f"state.{name}",
            output=f"next_state.{name}",
            dtype=str(seen.dtype),
            shape=tuple(shape),
            initial="zeros",
        )
        return value, port


def _dtype(dtype: np.dtype[Any]) -> ir.DataType:
    return ir.DataType.from_numpy(dtype)


def carry_the_past(graph: ir.Graph, probed: Probed) -> list[StatePort]:
    """Rewrites every node that looks back, in place, and returns the states it now carries.

    Raises:
        UnsupportedGraph: a node needs what comes later, or all of time at once.
    """
    rewrite = Rewrite(graph, probed)
    ports: list[StatePort] = list(carry_positions(graph, probed))
    for node in list(graph):
        if rewrite.axes(node.outputs[0]).time is None and not _reads_time(rewrite, node):
            continue
        _refuse_whole(rewrite, node)
        handler = _HANDLERS.get(node.op_type)
        if handler is not None:
            ports += handler(rewrite, node, f"{node.op_type.lower()}.{len(ports)}")
    return ports


def _reads_time(rewrite: Rewrite, node: ir.Node) -> bool:
    return any(rewrite.axes(value).time is not None for value in node.inputs)


def _refuse_whole(rewrite: Rewrite, node: ir.Node) -> None:
    """Refuses an operator that reduces the time axis: it cannot be run step by step."""
    if node.op_type not in _OVER_ALL_TIME:
        return
    axes = rewrite.axes(node.inputs[0])
    rank = rewrite.probed.values[str(given(node, 0).name)].ndim
    if axes.time is not None and axes.time in _reduced(node, rank):
        raise UnsupportedGraph(
            f"expected a graph that can run step by step, got {node.op_type} node {node.name!r} "
            f"over the whole time axis; take its last step, or a running sum, instead"
        )


def _reduced(node: ir.Node, rank: int) -> set[int]:
    """The axes over which a node needs every element."""
    if node.op_type in ("GlobalAveragePool", "GlobalMaxPool", "InstanceNormalization"):
        return set(range(2, rank))
    if node.op_type in ("ReverseSequence", "Attention"):
        return set(range(rank))
    if node.op_type == "LayerNormalization":
        return set(range(node.attributes.get_int("axis", -1) % rank, rank))
    if node.op_type in ("Softmax", "LogSoftmax", "ArgMax", "ArgMin", "TopK"):
        default = 0 if node.op_type.startswith("Arg") else -1
        return {node.attributes.get_int("axis", default) % rank}
    listed = constant_array(node.inputs[1]) if len(node.inputs) > 1 else None
    axes = node.attributes.get_ints("axes", ()) if listed is None else listed.tolist()
    return {axis % rank for axis in axes} or set(range(rank))


def _remember(
    rewrite: Rewrite, node: ir.Node, x: ir.Value, steps: int, name: str
) -> tuple[ir.Value, StatePort]:
    """`x` with the `steps` before it in front, and the state that keeps them for the next call."""
    axes = rewrite.axes(x)
    state, port = rewrite.port(f"{name}.past", x, steps)
    e = Emitter(rewrite.graph)
    batch, time = axes.batch or 0, axes.time or 0
    rank = len(port.shape)
    past = e.op("Transpose", state, perm=_from_first(batch, rank)) if batch else state
    joined = e.op("Concat", past, x, axis=time)
    last = e.op("Slice", joined, e.axes(-steps), e.axes(np.iinfo(np.int64).max), e.axes(time))
    _finish(rewrite, e, node, last, port, batch)
    return joined, port


def _finish(
    rewrite: Rewrite, e: Emitter, node: ir.Node, following: ir.Value, port: StatePort, batch: int
) -> None:
    """Puts the emitted nodes before `node` and makes `following` the state's output."""
    if batch:
        following = e.op("Transpose", following, perm=_to_first(batch, len(port.shape)))
    following.name = port.output
    following.shape = ir.Shape(port.shape)
    following.type = ir.TensorType(_dtype(np.dtype(port.dtype)))
    e.name_after(f"{port.name}.")
    rewrite.graph.insert_before(node, e.nodes)
    rewrite.graph.outputs.append(following)


def _to_first(axis: int, rank: int) -> list[int]:
    """The permutation that brings `axis` to the front."""
    return [axis, *(other for other in range(rank) if other != axis)]


def _from_first(axis: int, rank: int) -> list[int]:
    """The permutation that brings the first axis to `axis`."""
    return [int(place) for place in np.argsort(_to_first(axis, rank))]


def _window(rewrite: Rewrite, node: ir.Node, name: str) -> Iterator[StatePort]:
    """Conv and pools: padding at the beginning of time becomes a cache.

    Padding at the end may stay: what looks ahead is cut off behind it, or found by the ladder.
    """
    x, axes = given(node, 0), rewrite.axes(node.inputs[0])
    if axes.time is None or axes.time < 2:
        return
    spatial = axes.time - 2
    rank = rewrite.probed.values[str(x.name)].ndim - 2
    automatic = node.attributes.get_string("auto_pad", "NOTSET")
    kernel = _kernel(node)[spatial] if _kernel(node) else 1
    if automatic not in ("NOTSET", "VALID") and kernel > 1:
        raise UnsupportedGraph(
            f"expected {node.op_type} node {node.name!r} to pad its past only, got auto_pad "
            f"{automatic}; pad (kernel - 1) * dilation zeros on the left before it"
        )
    pads = list(node.attributes.get_ints("pads", ()) or [0] * (2 * rank))
    steps = pads[spatial]
    if not steps:
        return
    joined, port = _remember(rewrite, node, x, steps, name)
    pads[spatial] = 0
    node.attributes["pads"] = ir.AttrInt64s("pads", pads)
    node.replace_input_with(0, joined)
    yield port


def _kernel(node: ir.Node) -> list[int]:
    sizes = node.attributes.get_ints("kernel_shape", ())
    if sizes:
        return list(sizes)
    weights = constant_array(node.inputs[1]) if len(node.inputs) > 1 else None
    return [] if weights is None else list(weights.shape[2:])


def _pad(rewrite: Rewrite, node: ir.Node, name: str) -> Iterator[StatePort]:
    """Pad with zeros before the first step: a cache of as many steps."""
    x, axes = given(node, 0), rewrite.axes(node.inputs[0])
    pads = constant_array(node.inputs[1]) if len(node.inputs) > 1 else None
    if axes.time is None:
        return
    rank = rewrite.probed.values[str(x.name)].ndim
    if pads is None:
        raise UnsupportedGraph(
            f"expected Pad node {node.name!r} to pad by constants, got computed ones"
        )
    listed = constant_array(node.inputs[3]) if len(node.inputs) > 3 else None
    order = list(range(rank)) if listed is None else [int(axis) % rank for axis in listed]
    if axes.time not in order:
        return
    place = order.index(axes.time)
    steps = int(pads[place])
    if steps <= 0:
        return
    fill = constant_array(node.inputs[2]) if len(node.inputs) > 2 else None
    mode = node.attributes.get_string("mode", "constant")
    if mode != "constant" or (fill is not None and np.any(fill)):
        raise UnsupportedGraph(
            f"expected Pad node {node.name!r} to put zeros before the first step, got the mode "
            f"{mode}; a stream starts from zeros"
        )
    joined, port = _remember(rewrite, node, x, steps, name)
    rest = np.array(pads, np.int64)
    rest[place] = 0
    e = Emitter(rewrite.graph)
    node.replace_input_with(0, joined)
    node.replace_input_with(1, e.constant(rest, f"{port.name}.pads"))
    yield port


def _concat(rewrite: Rewrite, node: ir.Node, name: str) -> Iterator[StatePort]:
    """Zeros put before a sequence: padding in other words."""
    out = rewrite.axes(node.outputs[0])
    values = [rewrite.probed.values.get(str(v.name)) for v in node.inputs if v is not None]
    rank = next(v.ndim for v in values if v is not None)
    if node.attributes.get_int("axis", 0) % rank != out.time or len(node.inputs) != 2:
        return
    front, x = given(node, 0), given(node, 1)
    if rewrite.axes(front).time is not None or rewrite.axes(x).time is None:
        return
    if any(root.is_graph_input() for root in roots_of(front)):
        return  # a cache that the graph carries already
    zeros = rewrite.probed.values.get(str(front.name), constant_array(front))
    if zeros is None or np.any(zeros):
        raise UnsupportedGraph(
            f"expected Concat node {node.name!r} to put zeros before the first step, got other "
            f"values; a stream starts from zeros"
        )
    joined, port = _remember(rewrite, node, x, zeros.shape[out.time or 0], name)
    e = Emitter(rewrite.graph)
    e.replace(node, e.op("Identity", joined))
    yield port


def _running_sum(rewrite: Rewrite, node: ir.Node, name: str) -> Iterator[StatePort]:
    """CumSum over time: the total so far is carried."""
    x, axes = given(node, 0), rewrite.axes(node.inputs[0])
    axis = constant_array(node.inputs[1])
    rank = rewrite.probed.values[str(x.name)].ndim
    if axis is None or axes.time is None or int(axis.reshape(-1)[0]) % rank != axes.time:
        return
    if node.attributes.get_int("reverse", 0) or node.attributes.get_int("exclusive", 0):
        raise UnsupportedGraph(
            f"expected CumSum node {node.name!r} to sum what has come, itself included, got "
            f"reverse or exclusive; a stream has no future"
        )
    total, port = rewrite.port(f"{name}.total", x, None)
    batch, time = axes.batch or 0, axes.time
    e = Emitter(rewrite.graph)
    # the port has no time axis: its batch axis stands first, the value's one place lower after time
    place = batch - (time < batch)
    placed = e.op("Transpose", total, perm=_from_first(place, rank - 1)) if place else total
    sums = e.op("CumSum", x, node.inputs[1])
    summed = e.op("Add", sums, e.op("Unsqueeze", placed, e.axes(time)))
    last = e.op("Gather", summed, e.constant(np.int64(-1)), axis=time)
    _finish(rewrite, e, node, last, port, place)
    Emitter(rewrite.graph).replace(node, summed)
    yield port


_HANDLERS: dict[str, Callable[[Rewrite, ir.Node, str], Iterator[StatePort]]] = {
    "Conv": _window,
    "AveragePool": _window,
    "MaxPool": _window,
    "LpPool": _window,
    "Pad": _pad,
    "Concat": _concat,
    "CumSum": _running_sum,
}
