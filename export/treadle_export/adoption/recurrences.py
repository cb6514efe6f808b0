"""Gives every recurrent layer of a foreign graph its states as ports, whatever it was fed before.

An initial state that is left out, constant, made of zeros or taken from an input starts a new
sequence at every call. A port in its place carries it from call to call.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.passes import common

from treadle.errors import UnsupportedGraph
from treadle.initial import INITIAL_FILE
from treadle.manifest import StatePort
from treadle_export.adoption.probing import RECURRENT
from treadle_export.canonical import BOUND, IR_VERSION
from treadle_export.foreign import StatePair
from treadle_export.passes.activations import activations_of, hidden_bound
from treadle_export.passes.rewriting import Emitter, constant_array

PARTS = ("hidden", "cell")
_PORT = "treadle.port"
"""Key of `ir.Value.meta` of an input that is a port already."""
_FIRST_STATE = 5  # initial_h, then initial_c, in the inputs of every recurrent operator
_MOVES = frozenset(
    {"Identity", "Squeeze", "Unsqueeze", "Reshape", "Transpose", "Slice", "Split", "Gather"}
    | {"Concat", "Cast", "Expand", "Flatten"}
)
"""What takes a state to where it is used, and changes no value of it."""


@dataclass(frozen=True, slots=True)
class Ports:
    """States as ports, and the row that each starts from where that is not zero, by its name."""

    ports: tuple[StatePort, ...]
    rows: Mapping[str, NDArray[Any]]


def from_file(state: str) -> dict[str, str]:
    """`StatePort.initial` of a state that starts from a row of the bundle's own."""
    return {"file": INITIAL_FILE, "name": state}


def layers_of(graph: ir.Graph) -> list[ir.Node]:
    """The recurrent layers of the main graph, in order."""
    return [node for node in graph if node.op_type in RECURRENT]


def give_ports(graph: ir.Graph, first: Mapping[str, NDArray[Any]]) -> Ports:
    """Cuts the initial and final states of every recurrent layer and makes ports of them.

    A port is [batch, H]. What the graph was given for states, and outputs that were final states
    and nothing else, are left out. `first`: name of a value that is an initial state -> the row
    that it holds, where that is not zero.
    """
    layers = layers_of(graph)
    sources = [value for node in layers for value in initial_values(node) if value is not None]
    _drop_final_states(graph, layers)
    cuts = [cut for node, name in _named(layers) for cut in _cut(graph, node, name, first)]
    ports = Ports(
        tuple(port for port, _ in cuts),
        {port.name: row for port, row in cuts if row is not None},
    )
    _drop_unused_inputs(graph, sources)
    return ports


def initial_values(node: ir.Node) -> list[ir.Value | None]:
    """The states that a layer is given: hidden, and the cell of an LSTM; None where left out."""
    given = list(node.inputs[_FIRST_STATE : _FIRST_STATE + _parts(node)])
    return given + [None] * (_parts(node) - len(given))


def fed_by(layers: Iterable[ir.Node]) -> list[ir.Value]:
    """Inputs of the graph that are initial states of recurrent layers and nothing else."""
    given = [value for node in layers for value in initial_values(node) if value is not None]
    return [root for value in given for root in roots_of(value) if root.is_graph_input()]


def shown_states(graph: ir.Graph) -> list[StatePair]:
    """Inputs that are initial states of a layer, with the outputs that are its final ones."""
    pairs = []
    for node in layers_of(graph):
        for part, value in enumerate(initial_values(node)):
            given = [] if value is None else [r for r in roots_of(value) if r.is_graph_input()]
            final = node.outputs[1 + part] if len(node.outputs) > 1 + part else None
            made = [v for v in graph.outputs if final in list(roots_of(v))]
            if given and made:
                pairs.append(StatePair(str(given[0].name), str(made[0].name)))
    return pairs


def _parts(node: ir.Node) -> int:
    return 2 if node.op_type == "LSTM" else 1


def _named(layers: Iterable[ir.Node]) -> Iterator[tuple[ir.Node, str]]:
    """Each layer's name: that of its weights without the last part, else its kind and place."""
    taken: set[str] = set()
    for index, node in enumerate(layers):
        weights = node.inputs[1]
        stem = str(weights.name).rpartition(".")[0] if weights is not None else ""
        plain = stem.replace("_", "").replace(".", "").isalnum()
        name = stem if plain and stem not in taken else f"{node.op_type.lower()}.{index}"
        taken.add(name)
        yield node, name


def name_layers(graph: ir.Graph) -> None:
    """Gives every layer weights of its own name."""
    for node, name in _named(layers_of(graph)):
        _name_weights(graph, node, name)


def _name_weights(graph: ir.Graph, node: ir.Node, name: str) -> None:
    """Gives a layer weights of its own name; what is lowered is named after them."""
    for index, part in zip((1, 2, 3), "wrb", strict=True):
        value = node.inputs[index] if index < len(node.inputs) else None
        array = constant_array(value)
        if value is None or array is None or value.name == f"{name}.{part}":
            continue
        e = Emitter(graph)
        node.replace_input_with(index, e.constant(array, f"{name}.{part}"))


def hidden_size(node: ir.Node) -> int:
    """H, as the node declares it.

    Raises:
        UnsupportedGraph: it does not.
    """
    size = node.attributes.get_int("hidden_size", 0)
    if not size:
        recurrent = constant_array(node.inputs[2])
        size = 0 if recurrent is None else int(recurrent.shape[-1])
    if not size:
        raise UnsupportedGraph(
            f"expected {node.op_type} node {node.name!r} to declare its hidden_size, got none; "
            f"export the model again with a current exporter"
        )
    return size


def _cut(
    graph: ir.Graph, node: ir.Node, name: str, first: Mapping[str, NDArray[Any]]
) -> Iterator[tuple[StatePort, NDArray[Any] | None]]:
    size, parts = hidden_size(node), _parts(node)
    _name_weights(graph, node, name)
    starts = [first.get(str(value.name)) if value else None for value in initial_values(node)]
    node.resize_inputs(max(len(node.inputs), _FIRST_STATE + parts))
    node.resize_outputs(1 + parts)
    for part, label in enumerate(PARTS[:parts]):
        state, start = f"{name}.{label}", starts[part]
        largest = 0.0 if start is None else float(np.abs(start).max())
        bound = hidden_bound(node.op_type, activations_of(node)[0], largest)
        port = StatePort(
            name=state,
            input=f"state.{state}",
            output=f"next_state.{state}",
            dtype="float32",
            shape=("batch", size),
            initial="zeros" if start is None else from_file(state),
            bound=bound if label == "hidden" else None,
        )
        node.outputs[1 + part].name = node.outputs[1 + part].name or f"{name}.final_{label}"
        _connect(graph, node, part, port)
        yield port, start


def _connect(graph: ir.Graph, node: ir.Node, part: int, port: StatePort) -> None:
    """Puts a port in the place of a layer's initial state, and its other end at the final one."""
    given = ir.Value(
        name=port.input, shape=ir.Shape(port.shape), type=ir.TensorType(ir.DataType.FLOAT)
    )
    if port.bound is not None:
        given.meta[BOUND] = port.bound
    given.meta[_PORT] = True
    graph.inputs.append(given)
    before, after = Emitter(graph), Emitter(graph)
    inside = before.op("Unsqueeze", given, before.axes(0))
    before.name_after(f"{port.input}.")
    graph.insert_before(graph[0], before.nodes)
    _share(graph, node.inputs[_FIRST_STATE + part], given, inside)
    node.replace_input_with(_FIRST_STATE + part, inside)
    following = after.op("Squeeze", node.outputs[1 + part], after.axes(0))
    following.name = port.output
    following.shape, following.type = given.shape, given.type
    after.name_after(f"{port.output}.")
    graph.insert_after(node, after.nodes)
    graph.outputs.append(following)


def _share(graph: ir.Graph, old: ir.Value | None, port: ir.Value, inside: ir.Value) -> None:
    """Lets whatever else reads a state that is an input, [B, H] or [1, B, H], read its port."""
    node = None if old is None else old.producer()
    source = old
    if node is not None and node.op_type == "Unsqueeze":
        axes = constant_array(node.inputs[1])
        source = node.inputs[0] if axes is not None and axes.tolist() == [0] else None
    if source is None or not source.is_graph_input() or _PORT in source.meta:
        return
    for user, index in list(source.uses()):
        user.replace_input_with(index, inside if source is old else port)
    if not source.is_graph_output():
        graph.inputs.remove(source)


def roots_of(value: ir.Value) -> Iterator[ir.Value]:
    """Where a value comes from, through operators that only move it; shapes are not followed."""
    node = value.producer()
    if node is None or node.op_type not in _MOVES:
        yield value
        return
    data = node.inputs if node.op_type == "Concat" else node.inputs[:1]
    for given in data:
        if given is not None:
            yield from roots_of(given)


def _drop_final_states(graph: ir.Graph, layers: Iterable[ir.Node]) -> None:
    """Leaves out outputs that are final states and nothing else, unless there is no other."""
    finals = {id(value) for node in layers for value in node.outputs[1:]}
    others = [v for v in graph.outputs if not all(id(root) in finals for root in roots_of(v))]
    if others:
        graph.outputs.clear()
        graph.outputs.extend(others)


def _drop_unused_inputs(graph: ir.Graph, sources: Iterable[ir.Value]) -> None:
    """Leaves out inputs that fed states only, and the nodes between."""
    fed = {id(root) for value in sources for root in roots_of(value)}
    remove_unused(graph)
    for value in list(graph.inputs):
        if id(value) in fed and not value.uses():
            graph.inputs.remove(value)


def remove_unused(graph: ir.Graph) -> None:
    """Removes nodes whose results nobody reads."""
    common.RemoveUnusedNodesPass()(ir.Model(graph, ir_version=IR_VERSION))
