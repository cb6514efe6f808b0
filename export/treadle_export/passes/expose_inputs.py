"""Makes what products with constant weights read outputs of the graph, so that it can be measured.

What a product inside the body of a Scan reads leaves as one more output of the Scan, step by step.
"""

import onnx_ir as ir

from treadle_export.passes.products import product_name, products_of
from treadle_export.passes.rewriting import given

_PREFIX = "exposed."


def expose_inputs(model: ir.Model) -> dict[str, list[str]]:
    """Adds the outputs, in place; an input that several products share is there once.

    Returns:
        output -> names of the products that read it; the output is [..., K].
    """
    scans = {
        id(attribute.as_graph()): node
        for graph in model.graphs()
        for node in graph
        for attribute in node.attributes.values()
        if attribute.type == ir.AttributeType.GRAPH
    }
    outputs: dict[ir.Value, str] = {}
    exposed: dict[str, list[str]] = {}
    for node in products_of(model):
        x = given(node, 0)
        if x not in outputs:
            outputs[x] = f"{_PREFIX}{len(outputs)}"
            value, within = x, scans.get(id(node.graph))
            while within is not None:  # a Scan may stand in another one
                value, within = _scanned(within, value), scans.get(id(within.graph))
            _expose(model.graph, value, outputs[x])
        exposed.setdefault(outputs[x], []).append(product_name(given(node, 1)))
    return exposed


def _expose(graph: ir.Graph, value: ir.Value, name: str) -> None:
    copy = ir.node("Identity", [value])
    graph.append(copy)
    copy.outputs[0].name = name
    copy.outputs[0].type = ir.TensorType(ir.DataType.FLOAT)
    graph.outputs.append(copy.outputs[0])


def _scanned(scan: ir.Node, value: ir.Value) -> ir.Value:
    """The values that `value` has in the steps of a Scan, one after another."""
    _expose(scan.attributes["body"].as_graph(), value, f"{scan.name}.{value.name}.exposed")
    scan.resize_outputs(len(scan.outputs) + 1)
    collected = scan.outputs[-1]
    collected.name = f"{scan.name}.{value.name}.steps"
    return collected
