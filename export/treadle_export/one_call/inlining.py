"""Puts a graph into another: its nodes, its weights, and values in place of its inputs."""

from collections.abc import Mapping

import onnx_ir as ir
from onnx_ir.convenience import replace_all_uses_with


def inlined(
    model: ir.Model, root: ir.Graph, feeds: Mapping[str, ir.Value], prefix: str
) -> tuple[list[ir.Node], dict[str, ir.Value]]:
    """The nodes of `model`, taken out of it, and its outputs by name.

    Weights go to `root`, which keeps one of each name: the graphs of a bundle share theirs. Every
    other value gets `prefix` before its name. `model` is used up.
    """
    graph = model.graph
    for value in list(graph.initializers.values()):
        graph.initializers.pop(str(value.name))
        known = root.initializers.get(str(value.name))
        if known is None:
            root.register_initializer(value)
        else:
            replace_all_uses_with(value, known)
    for value in graph.inputs:
        replace_all_uses_with(value, feeds[str(value.name)])
    passed = dict(zip(graph.inputs, (feeds[str(v.name)] for v in graph.inputs), strict=True))
    outputs = {str(value.name): passed.get(value, value) for value in graph.outputs}
    for node in ir.traversal.RecursiveGraphIterator(graph):
        node.name = f"{prefix}{node.name}"
        for value in node.outputs:
            value.name = f"{prefix}{value.name}" if value.name else value.name
    nodes = list(graph)
    graph.outputs.clear()
    graph.inputs.clear()
    graph.remove(nodes)
    for domain, version in graph.opset_imports.items():
        root.opset_imports.setdefault(domain, version)
    return nodes, outputs
