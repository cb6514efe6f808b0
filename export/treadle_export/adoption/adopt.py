"""Adopts a foreign graph: the canonical step and sequence graphs of a model from elsewhere."""

from dataclasses import dataclass

import onnx_ir as ir

from treadle.errors import UnsupportedGraph
from treadle.manifest import Graph
from treadle_export.adoption.caches import carry_the_past
from treadle_export.adoption.control_flow import flatten
from treadle_export.adoption.first_states import first_rows
from treadle_export.adoption.pairs import make_ports, probe_with_pairs
from treadle_export.adoption.recurrences import give_ports, layers_of, remove_unused
from treadle_export.adoption.scans import Carried, carry_scans, put_bodies
from treadle_export.adoption.streams import (
    Layout,
    layout_of,
    sequence_graph,
    sequence_interface,
    step_graph,
    step_interface,
)
from treadle_export.canonical import IR_VERSION, CanonicalGraph, CanonicalModel
from treadle_export.foreign import Foreign
from treadle_export.passes.canonicalize import canonicalize
from treadle_export.passes.loop_over_time import loop_over_time

TASK = "stateful"


@dataclass(frozen=True, slots=True)
class Adopted:
    """A foreign model in canonical form, and how its origin lays out what it reads and gives."""

    foreign: Foreign
    canonical: CanonicalModel
    layout: Layout


def adopt(foreign: Foreign) -> Adopted:
    """Gives a foreign model ports for all it carries, a step graph and a sequence graph.

    Raises:
        UnsupportedGraph: it cannot be run step by step, or not at any batch size; the message
            names the node and says what to do.
    """
    model = foreign.model.clone()
    graph = model.graph
    source = one_input(foreign)
    seen = flatten(model, foreign.example, foreign.states)
    _refuse_both_directions(graph)
    scanned = Carried()
    if seen is not None:
        scanned = carry_scans(model, seen, foreign.example, foreign.states)
    layers = give_ports(graph, first_rows(model, foreign.example))
    _refuse_stateless(foreign, bool(layers.ports or scanned.pairs))
    left = {value.name for value in graph.inputs}
    carried = tuple(pair for pair in (*foreign.states, *scanned.pairs) if pair.input in left)
    shapes = {port.input: (-1, *map(int, port.shape[1:])) for port in layers.ports}
    probed, batch_axes = probe_with_pairs(model, foreign.example, shapes, carried)
    _forget_shapes(graph, {port.output for port in layers.ports})
    pairs = make_ports(graph, carried, batch_axes, probed, scanned.rows)
    past = carry_the_past(graph, probed)
    remove_unused(graph)
    layout = layout_of(graph, probed, source)
    states = (*layers.ports, *pairs.ports, *past)
    step = step_interface(layout, states)
    single = put_bodies(step_graph(model, layout, foreign.lengths), step)
    stepped = _canonical(single, "step", step)
    interface = sequence_interface(step)
    looped = bool(pairs.ports or past) or not layout.aligned
    if looped:
        sequence = loop_over_time(stepped.model, step, interface)
    else:
        sequence = sequence_graph(model, layout, foreign.lengths)
    graphs = {"step": stepped, "sequence": _canonical(sequence, "sequence", interface)}
    rows = {**layers.rows, **pairs.rows}
    return Adopted(foreign, CanonicalModel(TASK, graphs, looped=looped, initial=rows), layout)


def _canonical(model: ir.Model, name: str, interface: Graph) -> CanonicalGraph:
    model.ir_version = IR_VERSION
    model.graph.name = name
    return CanonicalGraph(canonicalize(model, interface), interface)


def one_input(foreign: Foreign) -> str:
    """The name of the input that changes at every step. Raises UnsupportedGraph for others."""
    names = [name for name in foreign.example if name != foreign.lengths]
    if len(names) != 1:
        raise UnsupportedGraph(
            f"expected one input that changes at every step, got {', '.join(names) or 'none'}; "
            f"fix those that never change (--fix NAME=VALUE), name those that are states "
            f"(--state INPUT=OUTPUT), or join the others into one"
        )
    return names[0]


def _forget_shapes(graph: ir.Graph, known: set[str]) -> None:
    """Drops what the file declares of its values: it need not be true."""
    for node in graph:
        for value in node.outputs:
            if value.name not in known:
                value.shape = None


def _refuse_both_directions(graph: ir.Graph) -> None:
    for node in layers_of(graph):
        direction = node.attributes.get_string("direction", "forward")
        if direction != "forward":
            raise UnsupportedGraph(
                f"expected recurrent layers that read forward, got the {direction} "
                f"{node.op_type} node {node.name!r}: it needs the end of a sequence before its "
                f"beginning, so it cannot be a stream; train a forward layer, or let treadle "
                f"adopt write a bundle that reads whole sequences"
            )


def _refuse_stateless(foreign: Foreign, recurrent: bool) -> None:
    if not recurrent and not foreign.states:
        raise UnsupportedGraph(
            f"expected a model with a recurrent layer or a state, got neither in "
            f"{foreign.name!r}; name a state with --state INPUT=OUTPUT, or run the model with "
            f"onnxruntime as it is"
        )
