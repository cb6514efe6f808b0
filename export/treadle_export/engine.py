"""Runs a graph that is still in memory, for the rungs between capture and bundle."""

from typing import Any

import numpy as np
import onnx_ir as ir
import onnxruntime
from numpy.typing import NDArray

from treadle.errors import ExportError
from treadle.session import engine_errors

Arrays = dict[str, NDArray[Any]]


class EngineError(ExportError):
    """The engine refuses a graph, or what it was given to run."""


class Engine:
    """An onnxruntime session over an in-memory graph, nothing bound.

    Raises:
        EngineError: the engine does not take the graph; `run`: it fails on the inputs.
    """

    def __init__(self, model: ir.Model, *, optimized: bool = True, threads: int = 1) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 4
        if not optimized:
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        try:
            self._session = onnxruntime.InferenceSession(
                ir.to_proto(model).SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        except engine_errors() as error:
            raise EngineError(f"onnxruntime does not take the graph: {error}") from error
        required, optional = (
            self._session.get_inputs(),
            self._session.get_overridable_initializers(),
        )
        self._inputs = {value.name for value in (*required, *optional)}
        self._outputs = [value.name for value in self._session.get_outputs()]

    def run(self, feeds: Arrays) -> Arrays:
        """All outputs by name; entries of `feeds` that the graph does not take are left out."""
        taken = {name: array for name, array in feeds.items() if name in self._inputs}
        try:
            made = self._session.run(self._outputs, taken)
        except engine_errors() as error:
            raise EngineError(f"onnxruntime fails to run the graph: {error}") from error
        return dict(zip(self._outputs, made, strict=True))


def repeated(arrays: Arrays, rows: int) -> Arrays:
    """Arrays of one row, `rows` times."""
    return {name: np.repeat(array, rows, axis=0) for name, array in arrays.items()}
