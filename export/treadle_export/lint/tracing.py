"""Where a value comes from and where it goes, through the bodies of If, Loop and Scan as well."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator

import onnx_ir as ir

_SIZES_ONLY = {"Shape", "Size", "ConstantOfShape", "RandomNormalLike", "RandomUniformLike"}
"""Operators that read how large a value is, and nothing of what it says."""

_SHAPED = {"Expand", "Reshape", "Tile"}
"""Operators whose later inputs are sizes."""

_MOVES = {
    *("Identity", "Cast", "Squeeze", "Unsqueeze", "Reshape", "Flatten", "Transpose"),
    *("Concat", "Split", "Slice", "Gather", "ScatterND", "ScatterElements", "Where", "Pad"),
    *("QuantizeLinear", "DequantizeLinear"),
}
"""Operators that hand numbers on as they are, or rounded."""


class Tracer:
    """Follows values through one model.

    What enters or leaves a local function that could not be written out is taken for the caller's.
    """

    def __init__(self, model: ir.Model) -> None:
        self.nodes = tuple(_reachable_nodes(model))
        self._owners = {body: node for node in self.nodes for body in bodies(node)}

    def owner(self, graph: ir.Graph | ir.Function | None) -> ir.Node | None:
        """The If, Loop or Scan node that a body belongs to; None outside of bodies."""
        return self._owners.get(graph) if isinstance(graph, ir.Graph) else None

    def upstream(self, value: ir.Value) -> Iterator[ir.Value]:
        """`value` and every value that its numbers come from, the nearest first.

        A size that was read off a value is no number of it: the walk ends there.
        """
        yield from _walk(value, self._origins)

    def caller_gives(self, value: ir.Value) -> bool:
        """Whether anything that a caller passes in decides what `value` holds."""
        return any(
            origin.producer() is None and origin.const_value is None and not self._carried(origin)
            for origin in self.upstream(value)
        )

    def caller_gets(self, value: ir.Value) -> bool:
        """Whether the numbers of `value` reach an output of the model as they are, or rounded."""
        return any(
            seen.is_graph_output() and self.owner(seen.graph) is None
            for seen in _walk(value, self._destinations)
        )

    def _carried(self, value: ir.Value) -> bool:
        """Whether it is an input of a body, and so comes from the node around it."""
        return self.owner(value.graph) is not None

    def _origins(self, value: ir.Value) -> Iterable[ir.Value | None]:
        node = value.producer()
        if node is None:
            owner = self.owner(value.graph) if value.is_graph_input() else None
            index = value.graph.inputs.index(value) if owner and value.graph else 0
            return owner.inputs[index : index + 1] if owner is not None else ()
        if node.op_type in _SIZES_ONLY:
            return ()
        if node.op_type in _SHAPED:
            return node.inputs[:1]
        position = (value.index() or 0) + (node.op_type == "Loop")  # its body gives a condition too
        ends = [body.outputs[position] for body in bodies(node) if position < len(body.outputs)]
        return (*ends, *node.inputs)

    def _destinations(self, value: ir.Value) -> Iterable[ir.Value | None]:
        for node, _ in value.uses():
            if node.op_type in _MOVES:
                yield from node.outputs
        owner = self.owner(value.graph)
        if owner is not None and value.is_graph_output() and value.graph is not None:
            for index, end in enumerate(value.graph.outputs):
                position = index - (owner.op_type == "Loop")
                if end is value and 0 <= position < len(owner.outputs):
                    yield owner.outputs[position]


def bodies(node: ir.Node) -> Iterator[ir.Graph]:
    """The graphs inside a node."""
    for attribute in node.attributes.values():
        if attribute.is_ref():
            continue
        if attribute.type == ir.AttributeType.GRAPH:
            yield attribute.as_graph()
        elif attribute.type == ir.AttributeType.GRAPHS:
            yield from attribute.as_graphs()


def _reachable_nodes(model: ir.Model) -> Iterator[ir.Node]:
    """Every node of the graph, of its bodies, and of the functions that these call."""
    waiting: deque[ir.Graph | ir.Function] = deque([model.graph])
    called = set[ir.OperatorIdentifier]()
    while waiting:
        for node in ir.traversal.RecursiveGraphIterator(waiting.popleft()):
            yield node
            name = node.op_identifier()
            if name in model.functions and name not in called:
                called.add(name)
                waiting.append(model.functions[name])


def _walk(
    start: ir.Value, neighbours: Callable[[ir.Value], Iterable[ir.Value | None]]
) -> Iterator[ir.Value]:
    seen, waiting = {start}, deque([start])
    while waiting:
        value = waiting.popleft()
        yield value
        for near in neighbours(value):
            if near is not None and near not in seen:
                seen.add(near)
                waiting.append(near)
