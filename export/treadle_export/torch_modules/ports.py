"""Which inputs of a traced graph are states, which pairs carry one on, and which holds lengths."""

from collections.abc import Iterator
from dataclasses import dataclass

import onnx_ir as ir

from treadle_export.foreign import StatePair

RECURRENT = frozenset({"LSTM", "GRU", "RNN"})
LENGTHS, HIDDEN, CELL = 4, 5, 6
"""Places of the lengths and the initial states among the inputs of a recurrent node."""

_MOVES = frozenset(
    {"Identity", "Squeeze", "Unsqueeze", "Reshape", "Transpose", "Slice", "Split", "Gather"}
    | {"Concat", "Cast", "Expand", "Flatten"}
)
"""What takes a value to another place or shape and changes no element of it."""


@dataclass(frozen=True, slots=True)
class Ports:
    """The inputs that are more than data.

    states: inputs that are the initial state of recurrent layers and nothing else; carried: these
        with the output that carries each on, where there is one.
    pairs: the same of inputs that are read in other places too.
    lengths: the input that says how long each row is.
    """

    states: frozenset[str]
    carried: tuple[StatePair, ...]
    pairs: tuple[StatePair, ...]
    lengths: str | None


def ports_of(graph: ir.Graph) -> Ports:
    """Reads the ports off what recurrent nodes are fed."""
    layers = recurrent_nodes(graph)
    fed: dict[str, set[tuple[int, int]]] = {}
    lengths: list[str] = []
    for index, node in enumerate(layers):
        for place, value in enumerate(node.inputs):
            if place < LENGTHS or value is None:
                continue
            names = [str(root.name) for root in roots(value) if root.is_graph_input()]
            if place == LENGTHS:
                lengths += names
            else:
                for name in names:
                    fed.setdefault(name, set()).add((index, place))
    inputs = {str(value.name): value for value in graph.inputs}
    states = frozenset(name for name in fed if feeds_states_only(inputs[name]))
    followed = _finals(graph, layers)
    pairs = [
        StatePair(name, output)
        for name, places in fed.items()
        for output, reached in followed.items()
        if places == reached and _alike(inputs[name], graph, output)
    ]
    return Ports(
        states=states,
        carried=tuple(pair for pair in pairs if pair.input in states),
        pairs=tuple(pair for pair in pairs if pair.input not in states),
        lengths=lengths[0] if lengths else None,
    )


def recurrent_nodes(graph: ir.Graph) -> list[ir.Node]:
    """The recurrent layers of a graph, in order."""
    return [node for node in graph if node.op_type in RECURRENT]


def roots(value: ir.Value, *through: str) -> Iterator[ir.Value]:
    """Where a value comes from, through what only moves it and the operators in `through`."""
    node = value.producer()
    if node is None or node.op_type not in (*_MOVES, *through):
        yield value
        return
    for given in node.inputs if node.op_type == "Concat" else node.inputs[:1]:
        if given is not None:
            yield from roots(given, *through)


def feeds_states_only(value: ir.Value) -> bool:
    """Whether all that a value becomes is an initial state, or a question about its shape."""
    if value.is_graph_output():
        return False
    return all(
        node.op_type in ("Shape", "Size")
        or (node.op_type in RECURRENT and place in (HIDDEN, CELL))
        or (node.op_type in _MOVES and all(map(feeds_states_only, node.outputs)))
        for node, place in value.uses()
    )


def _finals(graph: ir.Graph, layers: list[ir.Node]) -> dict[str, set[tuple[int, int]]]:
    """Output -> the initial states (layer, place) that it follows, if it is made of such only."""
    places = {
        id(value): (index, HIDDEN + part)
        for index, node in enumerate(layers)
        for part, value in enumerate(node.outputs[1:])
    }
    found: dict[str, set[tuple[int, int]]] = {}
    for value in graph.outputs:
        made_of = [places.get(id(root)) for root in roots(value)]
        known = {place for place in made_of if place is not None}
        if len(known) == len(set(made_of)):
            found[str(value.name)] = known
    return found


def _alike(given: ir.Value, graph: ir.Graph, output: str) -> bool:
    """Whether an output can be fed back as the input that it follows."""
    other = next(value for value in graph.outputs if value.name == output)
    ranks = [None if v.shape is None else len(v.shape) for v in (given, other)]
    return given.dtype == other.dtype and ranks[0] == ranks[1]
