"""The graph `prompt`: a sequence that is read for the outputs of its last step alone."""

from dataclasses import replace

import onnx_ir as ir

from treadle.manifest import Graph
from treadle_export.canonical import CanonicalGraph, CanonicalModel
from treadle_export.passes.last_step import LastStep
from treadle_export.passes.products import products_of
from treadle_export.passes.recurrent_weights import GATES
from treadle_export.passes.rewriting import constant_array, given

PROMPT = "prompt"

SMALLEST_HEAD = 2**18
"""Weights of a head that is worth a graph of its own: some 10 µs a step of a prompt."""


def with_prompt_graph(model: CanonicalModel) -> CanonicalModel:
    """The model with a graph `prompt` where that pays, else the model as it is.

    It pays where the head is at least half of all weights that a step multiplies with, so that a
    prompt is read with half the work or less, and not small: another graph is another file, and
    another session once a prompt is fed.
    """
    sequence = model.graphs["sequence"]
    lengths = sequence.interface.inputs[1].name
    interface = _interface(sequence.interface, model.graphs["step"].interface)
    graph = sequence.model.clone()
    ir.passes.common.ShapeInferencePass()(graph)
    chosen = LastStep(tuple(tensor.name for tensor in interface.outputs), lengths)
    chosen(graph)
    if chosen.weights < SMALLEST_HEAD or 2 * chosen.weights < _weights(sequence.model):
        return model
    graph.graph.name = PROMPT
    _declare(graph.graph, interface)
    graphs = {**model.graphs, PROMPT: CanonicalGraph(graph, interface)}
    return replace(model, graphs=graphs)


def _interface(sequence: Graph, step: Graph) -> Graph:
    """Reads what `sequence` reads, gives what `step` gives."""
    return sequence._replace(file=f"{PROMPT}.onnx", outputs=step.outputs)


def _declare(graph: ir.Graph, interface: Graph) -> None:
    shapes = {tensor.name: tensor.shape for tensor in interface.outputs}
    for value in graph.outputs:
        if value.name in shapes:
            value.shape = ir.Shape(shapes[value.name])


def _weights(model: ir.Model) -> int:
    """Weights that a step multiplies with: of products, and of recurrent nodes."""
    values = {given(node, 1) for node in products_of(model)}
    for node in model.graph:
        if node.op_type in GATES:
            values |= {given(node, 1), given(node, 2)}
    arrays = [constant_array(value) for value in values]
    return sum(array.size for array in arrays if array is not None)
