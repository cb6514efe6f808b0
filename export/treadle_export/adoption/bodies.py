"""The graphs inside If, Loop and Scan nodes: what they use from outside, and how they move out."""

from collections.abc import Iterator, Sequence

import onnx_ir as ir

from treadle_export.adoption.probing import RECURRENT
from treadle_export.passes.rewriting import constant_array

CONTROL = frozenset({"If", "Loop", "Scan"})
_SHAPES = frozenset({"Shape", "Size"})
_LAYERS = RECURRENT | {"DynamicQuantizeLSTM"}


def bodies_of(node: ir.Node) -> list[ir.Graph]:
    """The graphs that a node holds."""
    kinds = ir.AttributeType
    return [a.as_graph() for a in node.attributes.values() if a.type == kinds.GRAPH]


def layers_within(node: ir.Node) -> list[ir.Node]:
    """Recurrent layers inside the bodies of a node, however deep."""
    return [
        inner
        for body in bodies_of(node)
        for inner in ir.traversal.RecursiveGraphIterator(body)
        if inner.op_type in _LAYERS
    ]


def captured(body: ir.Graph) -> list[ir.Value]:
    """Values from outside that the body reads, constants left out."""
    nodes = list(ir.traversal.RecursiveGraphIterator(body))
    inside = {id(value) for graph in _graphs(body) for value in graph.inputs}
    inside |= {id(value) for node in nodes for value in node.outputs}
    read = [value for node in nodes for value in node.inputs if value is not None]
    outside = {id(v): v for v in (*read, *body.outputs) if id(v) not in inside}
    return [value for value in outside.values() if constant_array(value) is None]


def _graphs(body: ir.Graph) -> Iterator[ir.Graph]:
    yield body
    for node in body:
        for inner in bodies_of(node):
            yield from _graphs(inner)


def data_roots(value: ir.Value) -> list[ir.Value]:
    """Inputs of the graph whose values, not only their shapes, a value is computed from."""
    found: dict[int, ir.Value] = {}
    seen: set[int] = set()
    left = [value]
    while left:
        value = left.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        node = value.producer()
        if value.is_graph_input():
            found[id(value)] = value
        elif node is not None and node.op_type not in _SHAPES:
            left += [given for given in node.inputs if given is not None]
            left += [outer for body in bodies_of(node) for outer in captured(body)]
    return list(found.values())


def move_out(
    body: ir.Graph, given: Sequence[ir.Value], before: ir.Node, prefix: str
) -> list[ir.Value]:
    """Puts a copy of a body's nodes in front of `before`, reading `given`; returns its outputs.

    The body itself is left as it was, so that it can be moved out more than once.
    """
    root = before.graph
    if not isinstance(root, ir.Graph):
        raise ValueError(f"{before.name!r} belongs to no graph")
    copy = body.clone(allow_outer_scope_values=True)
    actual = {id(own): value for own, value in zip(copy.inputs, given, strict=True)}
    outputs = [actual.get(id(value), value) for value in copy.outputs]
    for own, value in zip(list(copy.inputs), given, strict=True):
        for user, index in list(own.uses()):
            user.replace_input_with(index, value)
    nodes = list(copy)
    copy.outputs.clear()
    copy.inputs.clear()
    copy.remove(nodes)
    for value in list(copy.initializers.values()):
        copy.initializers.pop(str(value.name))
        value.name = f"{prefix}{value.name}"
        root.register_initializer(value)
    for place, node in enumerate(nodes):
        node.name = f"{prefix}{node.name or place}"
        for index, value in enumerate(node.outputs):
            value.name = f"{prefix}{value.name or f'{place}.{index}'}"
    root.insert_before(before, nodes)
    return outputs
