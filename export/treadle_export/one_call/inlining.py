"""Puts a graph into another: its nodes, its weights, and values in place of its inputs."""

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir
from onnx_ir.convenience import replace_all_uses_with


def inlined(
    model: ir.Model, root: ir.Graph, feeds: Mapping[str, ir.Value], prefix: str
) -> tuple[list[ir.Node], dict[str, ir.Value]]:
    """The nodes of `model`, taken out of it, and its outputs by name.

    Weights go to `root`, once where the graphs of a bundle share them. An input that `feeds` leave
    out has its default there. Every other value gets `prefix` before its name. `model` is used up.
    """
    graph = model.graph
    inputs, outputs = list(graph.inputs), list(graph.outputs)
    graph.inputs.clear()
    for value in list(graph.initializers.values()):
        graph.initializers.pop(str(value.name))
        known = root.initializers.get(str(value.name))
        if known is not None and _same(known, value):
            replace_all_uses_with(value, known)
            continue
        if known is not None:
            value.name = f"{prefix}{value.name}"
        root.register_initializer(value)
    fed = {value: feeds[str(value.name)] for value in inputs if str(value.name) in feeds}
    for value, given in fed.items():
        replace_all_uses_with(value, given)
    made = {str(value.name): fed.get(value, value) for value in outputs}
    for node in ir.traversal.RecursiveGraphIterator(graph):
        node.name = f"{prefix}{node.name}"
        for value in node.outputs:
            value.name = f"{prefix}{value.name}" if value.name else value.name
    nodes = list(graph)
    graph.outputs.clear()
    graph.remove(nodes)
    for domain, version in graph.opset_imports.items():
        root.opset_imports.setdefault(domain, version)
    return nodes, made


def _same(one: ir.Value, other: ir.Value) -> bool:
    """Whether two constants hold the same."""
    if one.const_value is None or other.const_value is None:
        return False
    arrays = one.const_value.numpy(), other.const_value.numpy()
    return arrays[0].dtype == arrays[1].dtype and np.array_equal(*arrays)
