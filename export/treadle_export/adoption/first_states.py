"""What states start from: zeros, or values of the model's own, one row for every stream.

A learned or baked initial state is a constant, perhaps expanded to the rows of the batch. It
depends on no data, so it is computed once, here, and goes into the bundle as a row.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from treadle.errors import UnsupportedGraph
from treadle_export.adoption.bodies import data_roots
from treadle_export.adoption.probing import forget_sizes
from treadle_export.adoption.recurrences import initial_values, layers_of, remove_unused, roots_of
from treadle_export.engine import Arrays, Engine
from treadle_export.passes.rewriting import constant_array

Rows = Mapping[str, NDArray[Any]]


def first_rows(model: ir.Model, example: Arrays) -> Rows:
    """The row that each recurrent layer of a foreign graph starts from, where it is not zero.

    Args:
        model: the graph, its layers still reading the states that they were given.
        example: the array of each input but states and lengths.

    Returns:
        name of a value that is an initial state -> float32 [H].

    Raises:
        UnsupportedGraph: an initial state is computed from data, or differs from row to row.
    """
    asked: dict[str, ir.Node] = {}
    for node in layers_of(model.graph):
        for value in initial_values(node):
            if value is None or _is_input(value):
                continue
            _refuse_data(node, value)
            asked[str(value.name)] = node
    arrays = evaluated(model, asked, example)
    rows = {name: one_row(array, 1, asked[name]) for name, array in arrays.items()}
    return {name: row.reshape(-1) for name, row in rows.items() if np.any(row)}


def _is_input(value: ir.Value) -> bool:
    """Whether a state comes in as an input of its own, zeros beside it perhaps."""
    roots = list(roots_of(value))
    given = [root for root in roots if root.is_graph_input()]
    return bool(given) and not any(
        np.any(array) for root in roots if (array := constant_array(root)) is not None
    )


def _refuse_data(node: ir.Node, value: ir.Value) -> None:
    if roots := data_roots(value):
        producer = value.producer()
        kind = "value" if producer is None else f"result of {producer.op_type}"
        raise UnsupportedGraph(
            f"expected the initial state of {node.op_type} node {node.name!r} to be constant or "
            f"an input, got the {kind} {value.name!r}, computed from "
            f"{', '.join(repr(root.name) for root in roots)}; adopt what computes it as a model of "
            f"its own"
        )


def evaluated(model: ir.Model, names: Iterable[str], example: Arrays) -> Arrays:
    """Values of a graph that depend on no data but perhaps on the sizes of its inputs."""
    copy = model.clone()
    graph = copy.graph
    values = {str(v.name): v for node in graph for v in (*node.inputs, *node.outputs) if v}
    known = {name: constant_array(values[name]) for name in names}
    arrays: Arrays = {name: array for name, array in known.items() if array is not None}
    left = [name for name, array in known.items() if array is None]
    if not left:
        return arrays
    graph.outputs.clear()
    graph.outputs.extend(values[name] for name in left)
    remove_unused(graph)
    for value in list(graph.inputs):
        forget_sizes(value)
        if not value.uses():
            graph.inputs.remove(value)
    rows = max(len(array) for array in example.values())
    lengths = {str(v.name): np.ones(rows, _dtype(v)) for v in graph.inputs}
    return arrays | Engine(copy).run({**lengths, **example})


def _dtype(value: ir.Value) -> np.dtype[Any]:
    return (value.dtype or ir.DataType.INT64).numpy()


def one_row(array: NDArray[Any], axis: int, node: ir.Node) -> NDArray[Any]:
    """What all rows along the batch axis hold, without that axis.

    Raises:
        UnsupportedGraph: they hold different values.
    """
    rows = np.moveaxis(array, axis, 0)
    if not np.array_equal(rows, np.broadcast_to(rows[:1], rows.shape)):
        raise UnsupportedGraph(
            f"expected all rows of a batch to start from the same state at {node.op_type} node "
            f"{node.name!r}, got different ones; make the state an input of the model"
        )
    first: NDArray[Any] = rows[0]
    return first
