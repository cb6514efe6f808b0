"""Adopts a foreign graph that reads backwards: one graph over whole sequences, nothing carried.

Such a model needs the end of a sequence for its beginning, so there is no step. Everything that a
stream would have to carry may stay as it is: rows are read whole, those of one length together.
"""

import numpy as np
import onnx_ir as ir

from treadle.errors import UnsupportedGraph
from treadle.manifest import Graph, Tensor
from treadle_export.adoption.adopt import Adopted, one_input
from treadle_export.adoption.control_flow import flatten
from treadle_export.adoption.pairs import probe_with_pairs
from treadle_export.adoption.probing import RECURRENT
from treadle_export.adoption.recurrences import (
    hidden_size,
    initial_values,
    layers_of,
    name_layers,
    remove_unused,
    roots_of,
)
from treadle_export.adoption.streams import LENGTHS, Layout, layout_of, sequence_graph, timed
from treadle_export.canonical import IR_VERSION, CanonicalGraph, CanonicalModel
from treadle_export.foreign import Foreign
from treadle_export.passes.canonicalize import canonicalize
from treadle_export.passes.rewriting import Emitter, given

TASK = "whole-sequence"
_FIRST_STATE = 5  # in the inputs of every recurrent operator


def reads_backwards(foreign: Foreign) -> bool:
    """Whether a recurrent layer of the graph, or of a body in it, reads from the end."""
    nodes = ir.traversal.RecursiveGraphIterator(foreign.model.graph)
    return any(
        node.op_type in RECURRENT
        and node.attributes.get_string("direction", "forward") != "forward"
        for node in nodes
    )


def adopt_whole(foreign: Foreign) -> Adopted:
    """Gives a foreign model its sequence graph, of the task "whole-sequence".

    Raises:
        UnsupportedGraph: the graph has no time axis, or does not run at any batch and time; a
            state that it takes from outside has no meaning here and is refused by name.
    """
    model = foreign.model.clone()
    graph = model.graph
    source = one_input(foreign)
    flatten(model, foreign.example, foreign.states)
    name_layers(graph)
    for node in layers_of(graph):
        _start_from_zeros(graph, node)
    remove_unused(graph)
    _drop_states(graph, source, foreign.lengths)
    probed, _ = probe_with_pairs(model, foreign.example, {}, ())
    layout = layout_of(graph, probed, source)
    if layout.axes.time is None:
        raise UnsupportedGraph(
            f"expected a model that reads backwards to read sequences, got no time axis in "
            f"{source!r}; export it with a free time axis"
        )
    for node in graph:
        for value in node.outputs:
            value.shape = None
    whole = sequence_graph(model, layout, foreign.lengths)
    whole.ir_version, whole.graph.name = IR_VERSION, "sequence"
    interface = _interface(layout)
    canonical = CanonicalGraph(canonicalize(whole, interface), interface)
    return Adopted(foreign, CanonicalModel(TASK, {"sequence": canonical}), layout)


def _interface(layout: Layout) -> Graph:
    outputs = tuple(
        tensor if layout.inside[tensor.name].time is None else timed(tensor)
        for tensor in layout.outputs
    )
    lengths = Tensor(LENGTHS, "int64", ("batch",))
    return Graph("sequence.onnx", (timed(layout.input), lengths), outputs)


def _start_from_zeros(graph: ir.Graph, node: ir.Node) -> None:
    """Writes zeros where a layer is given no initial state, or one from outside: [D, B, H]."""
    count = len(initial_values(node))
    node.resize_inputs(max(len(node.inputs), _FIRST_STATE + count))
    directions = 2 if node.attributes.get_string("direction", "forward") == "bidirectional" else 1
    for part, value in enumerate(initial_values(node)):
        if value is not None and not any(root.is_graph_input() for root in roots_of(value)):
            continue
        e = Emitter(graph)
        batch = e.op("Slice", e.op("Shape", given(node, 0)), e.axes(1), e.axes(2))
        shape = e.op("Concat", e.axes(directions), batch, e.axes(hidden_size(node)), axis=0)
        zero = ir.Tensor(np.zeros(1, np.float32))
        zeros = e.op("ConstantOfShape", shape, value=zero)
        e.name_after(f"{given(node, 1).name}.start.{part}.")
        graph.insert_before(node, e.nodes)
        node.replace_input_with(_FIRST_STATE + part, zeros)


def _drop_states(graph: ir.Graph, source: str, lengths: str | None) -> None:
    """Leaves out inputs that were states of layers and nothing else.

    Raises:
        UnsupportedGraph: another input is left.
    """
    for value in list(graph.inputs):
        if value.name in (source, lengths):
            continue
        if value.uses() or value.is_graph_output():
            raise UnsupportedGraph(
                f"expected a model that reads backwards to take a sequence, its lengths and the "
                f"states of its layers, got the input {value.name!r} as well; fix it with --fix "
                f"{value.name}=VALUE"
            )
        graph.inputs.remove(value)
