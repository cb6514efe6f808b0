"""Names the weights of products after the parameters that they come from.

A tracer numbers what it transposes, in every graph anew. With the parameter's name a weight is the
same weight in every graph, and whoever chooses a precision by name finds it.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from treadle.manifest import sha256
from treadle_export.passes.products import TRANSPOSED, products_of
from treadle_export.passes.rewriting import constant_array, given


class NameWeights(ir.passes.InPlacePass):
    """Renames the constant matrix of each product that holds a parameter, or one transposed.

    parameters: name -> array; of two with the same content the first gives its name.
    Ensures: no two graphs of one network call the same weights differently.
    """

    def __init__(self, parameters: Mapping[str, NDArray[Any]]) -> None:
        super().__init__()
        self.names: dict[str, str] = {}
        for name, array in parameters.items():
            if array.ndim == 2:
                self.names.setdefault(_content(array), name)
                self.names.setdefault(_content(array.T), f"{name}{TRANSPOSED}")

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        modified = False
        for node in products_of(model):
            weights = given(node, 1)
            array = constant_array(weights)
            name = None if array is None else self.names.get(_content(array))
            if name is not None and name not in model.graph.initializers:
                weights.name = name
                modified = True
        return ir.passes.PassResult(model, modified)


def _content(array: NDArray[Any]) -> str:
    return f"{array.dtype}{array.shape}{sha256(np.ascontiguousarray(array).tobytes())}"
