"""Whole sequences read by a graph that has no step: rows of one length together, cut to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from treadle.bound_step import naming
from treadle.errors import DeviceError
from treadle.session import engine_errors

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from treadle.arrays import Array
    from treadle.model import Model


def read_whole(model: Model, x: ArrayLike, lengths: ArrayLike | None = None) -> Any:
    """Read whole sequences through the graph `sequence`.

    `x` [batch, time, …] with `lengths` int64 [batch], each from 1 (default: all of it); what lies
    beyond a length is never looked at. Returns each output as [batch, time, …], zero where padded,
    or [batch, …] where it has no time; a NamedTuple of them if there are several.

    No row sees padding, or another's length. Raises InputError for an empty batch, a row of length
    0, another dtype or shape, and values that are not finite.
    """
    graph = model.manifest.graphs["sequence"]
    x, counts = model.reading("sequence").padded(x, lengths, "time", least=1)
    outputs: list[Array] = []
    for length in np.unique(counts):
        rows = np.flatnonzero(counts == length)
        made = _run(model, np.ascontiguousarray(x[rows, :length]), counts[rows])
        if not outputs:
            outputs = [
                np.zeros((*x.shape[:2], *array.shape[2:]), array.dtype)
                if "time" in tensor.shape
                else np.zeros((len(x), *array.shape[1:]), array.dtype)
                for tensor, array in zip(graph.outputs, made, strict=True)
            ]
        for tensor, whole, part in zip(graph.outputs, outputs, made, strict=True):
            if "time" in tensor.shape:
                whole[rows, :length] = part
            else:
                whole[rows] = part
    return naming(graph)(outputs)


def _run(model: Model, x: Array, lengths: NDArray[np.int64]) -> list[Array]:
    graph = model.manifest.graphs["sequence"]
    feeds = {graph.inputs[0].name: x, graph.inputs[1].name: lengths}
    try:
        made: list[Array] = model.session("sequence").run(
            [tensor.name for tensor in graph.outputs], feeds
        )
    except engine_errors() as error:
        raise DeviceError(f"onnxruntime failed to read the sequence: {error}") from error
    return made
