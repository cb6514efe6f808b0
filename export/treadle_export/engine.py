"""Runs a graph that is still in memory, for the rungs between capture and bundle."""

from typing import Any

import numpy as np
import onnx_ir as ir
import onnxruntime
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]


class Engine:
    """An onnxruntime session over an in-memory graph: one thread, nothing bound."""

    def __init__(self, model: ir.Model) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            ir.to_proto(model).SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        required, optional = (
            self._session.get_inputs(),
            self._session.get_overridable_initializers(),
        )
        self._inputs = {value.name for value in (*required, *optional)}
        self._outputs = [value.name for value in self._session.get_outputs()]

    def run(self, feeds: Arrays) -> Arrays:
        """All outputs by name; entries of `feeds` that the graph does not take are left out."""
        taken = {name: array for name, array in feeds.items() if name in self._inputs}
        return dict(zip(self._outputs, self._session.run(self._outputs, taken), strict=True))


def repeated(arrays: Arrays, rows: int) -> Arrays:
    """Arrays of one row, `rows` times."""
    return {name: np.repeat(array, rows, axis=0) for name, array in arrays.items()}
