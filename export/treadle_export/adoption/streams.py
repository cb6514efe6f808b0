"""From a graph with ports to the two that a stream needs: one step, and many in one call.

One step is the whole graph over a single step. Many steps are the graph itself where recurrent
layers are all that carries a state and every step gives an output; else the step graph in a loop.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from treadle.errors import UnsupportedGraph
from treadle.manifest import Graph, StatePort, Tensor
from treadle_export.adoption.positions import NAME as POSITION
from treadle_export.adoption.probing import TIMES, Axes, Probed
from treadle_export.adoption.recurrences import layers_of, remove_unused
from treadle_export.adoption.scans import over_time, scanned_values
from treadle_export.passes.rewriting import Emitter

LENGTHS = "lengths"
_LENGTHS_INPUT = 4  # of every recurrent operator


@dataclass(frozen=True, slots=True)
class Layout:
    """What one step reads and gives.

    frames: input steps that one step of the recurrence takes together; 1 for most models.
    """

    axes: Axes
    frames: int
    input: Tensor
    outputs: tuple[Tensor, ...]
    aligned: bool
    """Whether every output has one value a step, so that a sequence can be read at once."""
    inside: Mapping[str, Axes]
    """Where the graph itself has the axes of each output."""


def layout_of(graph: ir.Graph, probed: Probed, source: str) -> Layout:
    """Reads the layout off the probe.

    Raises:
        UnsupportedGraph: an output has a time axis of its own length.
    """
    axes = probed.axes[source]
    frames = _frames(graph, probed, axes)
    outputs, aligned = [], axes.time is not None
    inside: dict[str, Axes] = {}
    for value in graph.outputs:
        if str(value.name).startswith("next_state."):
            continue
        out = probed.axes[str(value.name)]
        seen = probed.values[str(value.name)]
        if out.time is not None:
            _refuse_other_length(probed, str(value.name), frames)
        aligned &= out.time is not None
        inside[str(value.name)] = out
        features = [s for axis, s in enumerate(seen.shape) if axis not in (out.batch, out.time)]
        outputs.append(Tensor(str(value.name), str(seen.dtype), ("batch", *features)))
    read = _step_input(graph, probed, source, frames)
    return Layout(axes, frames, read, tuple(outputs), aligned, inside)


def _frames(graph: ir.Graph, probed: Probed, axes: Axes) -> int:
    """Input steps to one step of the recurrent layers."""
    values = [v for n in layers_of(graph) if (v := n.inputs[0])]
    values += [v for n in over_time(graph) for v in scanned_values(n)]
    read = [probed.lengths.get(str(v.name)) for v in values]
    if axes.time is None or not read or read[0] is None:
        return 1
    made = read[0][1] - read[0][0]
    if not made or (TIMES[1] - TIMES[0]) % made:
        raise UnsupportedGraph(
            f"expected the recurrent layers to make one step for a whole number of input steps, "
            f"got {made} for {TIMES[1] - TIMES[0]}; choose a stride that divides the input"
        )
    return (TIMES[1] - TIMES[0]) // made


def _refuse_other_length(probed: Probed, name: str, frames: int) -> None:
    expected = tuple(time // frames for time in TIMES)
    if probed.lengths[name] != expected:
        raise UnsupportedGraph(
            f"expected the output {name!r} to have one value for each step, got "
            f"{probed.lengths[name]} for {expected} steps; pad the past with zeros, so that "
            f"nothing is lost at the beginning"
        )


def _step_input(graph: ir.Graph, probed: Probed, source: str, frames: int) -> Tensor:
    axes = probed.axes[source]
    value = next(value for value in graph.inputs if value.name == source)
    shape = probed.values[f"{source}"].shape
    features = [size for axis, size in enumerate(shape) if axis not in (axes.batch, axes.time)]
    together = [frames] if frames > 1 else []
    dtype = value.dtype.numpy().name if value.dtype is not None else "float32"
    return Tensor(source, dtype, ("batch", *together, *features))


def step_interface(layout: Layout, ports: Sequence[StatePort]) -> Graph:
    """The contract of the step graph."""
    return Graph("step.onnx", (layout.input,), layout.outputs, state=tuple(ports))


def sequence_interface(step: Graph) -> Graph:
    """The contract of the sequence graph that goes with a step graph."""
    (tensor,) = step.inputs
    lengths = Tensor(LENGTHS, "int64", ("batch",))
    return Graph(
        file="sequence.onnx",
        inputs=(timed(tensor), lengths),
        outputs=tuple(timed(output) for output in step.outputs),
        state=step.state,
    )


def timed(tensor: Tensor) -> Tensor:
    """What a step reads or gives, over time: [batch, time, …]."""
    return Tensor(tensor.name, tensor.dtype, ("batch", "time", *tensor.shape[1:]))


def step_graph(model: ir.Model, layout: Layout, lengths: str | None) -> ir.Model:
    """The graph over one step: [batch, …] in, [batch, …] out."""
    stepped = model.clone()
    graph = stepped.graph
    _feed(graph, layout, with_time=False)
    for node in layers_of(graph):
        if len(node.inputs) > _LENGTHS_INPUT:
            node.replace_input_with(_LENGTHS_INPUT, None)
        _read_the_state(graph, node)
    _answer(graph, layout, with_time=False)
    _replace_lengths(graph, lengths, layout)
    remove_unused(graph)
    return stepped


def _read_the_state(graph: ir.Graph, node: ir.Node) -> None:
    """In one step the output of a layer is its hidden state, whose axes are known."""
    output, final = node.outputs[0], node.outputs[1]
    users = list(output.uses())
    squeeze = next(user for user, _ in final.uses() if user.op_type == "Squeeze")
    e = Emitter(graph)
    same = e.op("Unsqueeze", squeeze.outputs[0], e.axes(0, 1))
    e.name_after(f"{squeeze.outputs[0].name}.")
    graph.insert_after(squeeze, e.nodes)
    for user, index in users:
        user.replace_input_with(index, same)


def sequence_graph(model: ir.Model, layout: Layout, lengths: str | None) -> ir.Model:
    """The graph over many steps: [batch, time, …] and lengths in, [batch, time, …] out."""
    unrolled = model.clone()
    graph = unrolled.graph
    _feed(graph, layout, with_time=True)
    old = next((value for value in graph.inputs if value.name == lengths), None)
    new = ir.Value(name=LENGTHS, shape=ir.Shape(["batch"]), type=ir.TensorType(ir.DataType.INT64))
    graph.inputs.insert(1, new)
    e = Emitter(graph)
    steps = e.op("Cast", new, to=ir.DataType.INT32)
    e.name_after(f"{LENGTHS}.steps.")
    graph.insert_before(graph[0], e.nodes)
    for node in layers_of(graph):
        node.replace_input_with(_LENGTHS_INPUT, steps)
    if old is not None:
        _accept_lengths(graph, old, new, layout.frames)
    _answer(graph, layout, with_time=True)
    return unrolled


def _feed(graph: ir.Graph, layout: Layout, *, with_time: bool) -> None:
    """Lets the graph read the contract's layout: a new input, its axes moved to the old one's."""
    old = next(value for value in graph.inputs if value.name == layout.input.name)
    tensor = timed(layout.input) if with_time else layout.input
    old.name = f"{layout.input.name}.inside"
    new = ir.Value(
        name=layout.input.name,
        shape=ir.Shape(tensor.shape),
        type=ir.TensorType(ir.DataType.from_numpy(np.dtype(tensor.dtype))),
    )
    e = Emitter(graph)
    inside = _inward(e, new, layout, with_time=with_time)
    e.name_after(f"{layout.input.name}.")
    graph.inputs[list(graph.inputs).index(old)] = new
    if len(graph):
        graph.insert_before(graph[0], e.nodes)
    for user, index in list(old.uses()):
        user.replace_input_with(index, inside)


def _inward(e: Emitter, x: ir.Value, layout: Layout, *, with_time: bool) -> ir.Value:
    batch, time = layout.axes.batch or 0, layout.axes.time
    features = layout.input.shape[2 if layout.frames > 1 else 1 :]
    if time is None:
        return _transposed(e, x, _from_front([batch], 1 + len(features)))
    if with_time or layout.frames > 1:
        merged = with_time and layout.frames > 1
        flat = e.op("Reshape", x, e.axes(0, -1, *map(int, features))) if merged else x
        return _transposed(e, flat, _from_front([batch, time], 2 + len(features)))
    rest = _from_front([batch - (time < batch)], 1 + len(features))
    return e.op("Unsqueeze", _transposed(e, x, rest), e.axes(time))


def _answer(graph: ir.Graph, layout: Layout, *, with_time: bool) -> None:
    """Gives every output the contract's layout, under the name that it has."""
    for index, value in enumerate(graph.outputs):
        name = str(value.name)
        if name.startswith("next_state."):
            continue
        axes = layout.inside[name]
        rank = _rank(layout, name, axes)
        e = Emitter(graph)
        batch, time = axes.batch or 0, axes.time
        if time is None:
            out = _transposed(e, value, _to_front([batch], rank))
        elif with_time:
            out = _transposed(e, value, _to_front([batch, time], rank))
        else:
            single = e.op("Squeeze", value, e.axes(time))
            out = _transposed(e, single, _to_front([batch - (time < batch)], rank - 1))
        if out is value:
            continue
        value.name, out.name = f"{name}.inside", name
        out.type = value.type
        e.name_after(f"{name}.")
        graph.extend(e.nodes)
        graph.outputs[index] = out


def _rank(layout: Layout, name: str, axes: Axes) -> int:
    """Axes of an output inside the graph: the contract's, and time where it has it."""
    tensor = next(tensor for tensor in layout.outputs if tensor.name == name)
    return len(tensor.shape) + (axes.time is not None)


def _to_front(axes: Sequence[int], rank: int) -> list[int]:
    """The permutation that brings `axes` to the front, in this order."""
    return [*axes, *(axis for axis in range(rank) if axis not in axes)]


def _from_front(axes: Sequence[int], rank: int) -> list[int]:
    """The permutation that takes the first axes to the places `axes`."""
    return [int(place) for place in np.argsort(_to_front(axes, rank))]


def _transposed(e: Emitter, x: ir.Value, perm: list[int]) -> ir.Value:
    return x if perm == sorted(perm) else e.op("Transpose", x, perm=perm)


def _replace_lengths(graph: ir.Graph, lengths: str | None, layout: Layout) -> None:
    """In a step every row is as long as what it has read: one step, or all that were counted."""
    given = next((value for value in graph.inputs if value.name == lengths), None)
    if given is None:
        return
    x = next(value for value in graph.inputs if value.name == layout.input.name)
    dtype = (given.dtype or ir.DataType.INT64).numpy()
    e = Emitter(graph)
    rows = e.op("Slice", e.op("Shape", x), e.axes(0), e.axes(1))
    one = ir.Tensor(np.array([layout.frames], dtype))
    read = e.op("ConstantOfShape", rows, value=one)
    counted = next((value for value in graph.inputs if value.name == f"state.{POSITION}"), None)
    if counted is not None:
        before = e.op("Cast", counted, to=ir.DataType.from_numpy(dtype))
        read = e.op("Add", before, read)
    e.name_after(f"{LENGTHS}.")
    graph.insert_before(graph[0], e.nodes)
    for user, index in list(given.uses()):
        user.replace_input_with(index, read)
    graph.inputs.remove(given)


def _accept_lengths(graph: ir.Graph, old: ir.Value, new: ir.Value, frames: int) -> None:
    """Lets what read a graph's own lengths read the contract's, counted in the graph's steps."""
    e = Emitter(graph)
    inside = new if frames == 1 else e.op("Mul", new, e.constant(np.int64(frames)))
    inside = e.op("Cast", inside, to=old.dtype or ir.DataType.INT64)
    e.name_after(f"{LENGTHS}.own.")
    graph.inputs.remove(old)
    graph.insert_before(graph[0], e.nodes)
    for user, index in list(old.uses()):
        user.replace_input_with(index, inside)
