"""Gives what a Scan over time carries ports, and puts its body in the place of a step's Scan.

What a Scan carries is a state like a layer's: it came in from zeros and was thrown away. Over one
step a Scan is its body.
Operator: ONNX Scan.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from treadle.errors import UnsupportedGraph
from treadle.manifest import Graph
from treadle_export.adoption.bodies import bodies_of, captured, data_roots, move_out
from treadle_export.adoption.first_states import evaluated, one_row
from treadle_export.adoption.probing import Probed
from treadle_export.adoption.recurrences import layers_of, roots_of
from treadle_export.engine import Arrays, Engine
from treadle_export.foreign import StatePair
from treadle_export.passes.rewriting import Emitter, given

_OVER_TIME = "treadle.over_time"
"""Key of `ir.Node.meta` of a Scan that goes over time."""


def scanned_values(node: ir.Node) -> list[ir.Value]:
    """What a Scan takes apart, its last inputs."""
    count = node.attributes.get_int("num_scan_inputs", 0)
    return [given(node, index) for index in range(len(node.inputs) - count, len(node.inputs))]


def scanned_axes(node: ir.Node, probed: Probed) -> list[int]:
    """Along which axis each of them is taken apart."""
    values = scanned_values(node)
    axes = node.attributes.get_ints("scan_input_axes", ()) or [0] * len(values)
    ranks = [probed.values[str(value.name)].ndim for value in values]
    return [axis % rank for axis, rank in zip(axes, ranks, strict=True)]


def over_time(graph: ir.Graph) -> list[ir.Node]:
    """The Scans that `carry_scans` has given ports."""
    return [node for node in graph if node.meta.get(_OVER_TIME)]


@dataclass(frozen=True, slots=True)
class Carried:
    """Pairs that Scans carry; and the row that the input of one starts from, if it is not zero."""

    pairs: tuple[StatePair, ...] = ()
    rows: Mapping[str, NDArray[Any]] = field(default_factory=dict)


def carry_scans(
    model: ir.Model, probed: Probed, example: Arrays, known: Sequence[StatePair]
) -> Carried:
    """Makes what every Scan over time carries an input and an output of the graph, in place.

    A state that the graph shows already, one of `known`, stays as it is.

    Raises:
        UnsupportedGraph: a Scan reads backwards, or looks at all of time in each step; what it
            carries has no batch axis, or begins with what is computed from data.
    """
    graph = model.graph
    found: list[tuple[ir.Node, int, str]] = []
    for place, node in enumerate(n for n in graph if n.op_type == "Scan"):
        axes = [probed.axes.get(str(value.name)) for value in scanned_values(node)]
        if not any(a is not None and a.time is not None for a in axes):
            continue
        _refuse_other_ways(node, probed)
        node.meta[_OVER_TIME] = True
        name = node.name if node.name and node.name.isidentifier() else f"scan.{place}"
        states = len(node.inputs) - len(axes)
        for index in range(states):
            start = given(node, index)
            if any(root.is_graph_input() for root in roots_of(start)):
                continue
            _refuse_computed(node, start)
            found.append((node, index, f"{name}.{index}"))
    starts = {name: str(given(node, index).name) for node, index, name in found}
    begun = evaluated(model, starts.values(), example)
    pairs, rows = [], {}
    for node, index, name in found:
        pair, batch = _pair(graph, node, index, name, probed)
        pairs.append(pair)
        row = one_row(begun[starts[name]], batch, node)
        if np.any(row):
            rows[pair.input] = row
    _drop_final_states(graph, [*pairs, *known])
    return Carried(tuple(pairs), rows)


def _drop_final_states(graph: ir.Graph, pairs: Sequence[StatePair]) -> None:
    """Leaves out outputs that are what a Scan ends with and nothing else, unless all are."""
    finals = {id(value) for node in over_time(graph) for value in _finals(node)}
    shown = {pair.output for pair in pairs}
    others = [v for v in graph.outputs if not all(id(root) in finals for root in roots_of(v))]
    if others:
        kept = [v for v in graph.outputs if v in others or v.name in shown]
        graph.outputs.clear()
        graph.outputs.extend(kept)


def _finals(node: ir.Node) -> Sequence[ir.Value]:
    return node.outputs[: len(node.inputs) - len(scanned_values(node))]


def _refuse_other_ways(node: ir.Node, probed: Probed) -> None:
    backward = node.attributes.get_ints("scan_input_directions", ())
    if any(backward) or any(node.attributes.get_ints("scan_output_directions", ())):
        raise UnsupportedGraph(
            f"expected recurrences that read forward, got Scan node {node.name!r} that reads "
            f"backwards: it needs the end of a sequence before its beginning; train one that "
            f"reads forward"
        )
    for value, axis in zip(scanned_values(node), scanned_axes(node, probed), strict=True):
        axes = probed.axes.get(str(value.name))
        if axes is None or axes.time != axis:
            raise UnsupportedGraph(
                f"expected Scan node {node.name!r} to take all it reads apart along time, got "
                f"{value.name!r} along the axis {axis}; let one Scan go over one axis"
            )
    for body in bodies_of(node):
        for value in captured(body):
            axes = probed.axes.get(str(value.name))
            if axes is not None and axes.time is not None:
                raise UnsupportedGraph(
                    f"expected a step of Scan node {node.name!r} to look at its own step, got all "
                    f"of {value.name!r} along time; a stream has no future: scan it as well"
                )


def _refuse_computed(node: ir.Node, start: ir.Value) -> None:
    if roots := data_roots(start):
        raise UnsupportedGraph(
            f"expected what Scan node {node.name!r} carries to start from constants or an input of "
            f"its own, got {start.name!r}, computed from {', '.join(str(r.name) for r in roots)}; "
            f"adopt what computes it as a model of its own"
        )


def _pair(
    graph: ir.Graph, node: ir.Node, index: int, name: str, probed: Probed
) -> tuple[StatePair, int]:
    """The new pair of one carried state, and its batch axis."""
    final = node.outputs[index]
    seen = [run.get(str(final.name)) for run in probed.runs]
    axes = probed.axes.get(str(final.name))
    if seen[0] is None or axes is None or axes.batch is None or axes.time is not None:
        raise UnsupportedGraph(
            f"expected what Scan node {node.name!r} carries to have a batch axis and no time axis, "
            f"got {final.name!r}{'' if seen[0] is None else f' {list(seen[0].shape)}'}; give every "
            f"row a state of its own, of one size"
        )
    shape = [size if axis != axes.batch else None for axis, size in enumerate(seen[0].shape)]
    dtype = ir.DataType.from_numpy(seen[0].dtype)
    value = ir.Value(name=name, shape=ir.Shape(shape), type=ir.TensorType(dtype))
    graph.inputs.append(value)
    node.replace_input_with(index, value)
    e = Emitter(graph)
    out = e.op("Identity", final)
    out.name, out.type = f"{name}.next", value.type
    e.name_after(f"{name}.")
    graph.insert_after(node, e.nodes)
    graph.outputs.append(out)
    return StatePair(name, f"{name}.next"), axes.batch


def put_bodies(step: ir.Model, interface: Graph) -> ir.Model:
    """Replaces every Scan over time of a graph of one step by its body, in place.

    Raises:
        UnsupportedGraph: a layer within reads several steps of its own.
    """
    before = {id(node) for node in layers_of(step.graph)}
    for node in over_time(step.graph):
        _put_body(step.graph, node)
    inner = [node for node in layers_of(step.graph) if id(node) not in before]
    if inner:
        _refuse_longer(step, inner, interface)
    return step


def _refuse_longer(step: ir.Model, layers: Sequence[ir.Node], interface: Graph) -> None:
    """Runs one step of two rows and looks at what the layers read."""
    observed = step.clone()
    names = [str(given(node, 0).name) for node in layers]
    values = {str(v.name): v for node in observed.graph for v in (*node.inputs, *node.outputs) if v}
    for name in dict.fromkeys(names):
        if not values[name].is_graph_output() and not values[name].is_graph_input():
            observed.graph.outputs.append(values[name])
    tensors = [(t.name, t) for t in interface.inputs] + [(p.input, p) for p in interface.state]
    feeds: Arrays = {n: np.zeros((2, *map(int, t.shape[1:])), t.dtype) for n, t in tensors}
    made = Engine(observed, optimized=False).run(feeds) | feeds
    for node, name in zip(layers, names, strict=True):
        if made[name].shape[0] != 1:
            raise UnsupportedGraph(
                f"expected a layer inside a loop over time to read one step in each round, got "
                f"{made[name].shape[0]} at {node.op_type} node {node.name!r}; put it before or "
                f"behind the loop"
            )


def _put_body(graph: ir.Graph, node: ir.Node) -> None:
    (body,) = bodies_of(node)
    scanned = scanned_values(node)
    states = len(node.inputs) - len(scanned)
    axes = node.attributes.get_ints("scan_input_axes", ()) or [0] * len(scanned)
    e = Emitter(graph)
    steps = [e.op("Squeeze", v, e.axes(a)) for v, a in zip(scanned, axes, strict=True)]
    prefix = f"{node.name or 'scan'}."
    e.name_after(f"{prefix}taken.")
    graph.insert_before(node, e.nodes)
    made = move_out(body, [*(given(node, i) for i in range(states)), *steps], node, prefix)
    into = node.attributes.get_ints("scan_output_axes", ()) or [0] * (len(made) - states)
    after = Emitter(graph)
    answers = [
        after.op("Unsqueeze", value, after.axes(axis))
        for value, axis in zip(made[states:], into, strict=True)
    ]
    after.replace(node, *(after.op("Identity", value) for value in made[:states]), *answers)
