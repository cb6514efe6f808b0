"""Takes back what others' dynamic quantization did: integer weights become float32 again.

Dynamic quantization as onnxruntime writes it rounds activations with one scale over all rows and
steps, so that a row feels its neighbours and a chunk differs from its steps. The integer weights
are kept as they are; what was rounded at run time no longer is.
Operators: com.microsoft DynamicQuantizeLSTM, ONNX DynamicQuantizeLinear and MatMulInteger.
"""

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from treadle.errors import UnsupportedGraph
from treadle_export.adoption.recurrences import remove_unused
from treadle_export.passes.rewriting import Emitter, constant_array, given

_SCALES = (8, 10)  # of W and R in the inputs of DynamicQuantizeLSTM; zero points follow each


def dequantize(graph: ir.Graph) -> bool:
    """Rewrites every dynamically quantized product and layer, those inside bodies as well.

    Returns whether there was one.

    Raises:
        UnsupportedGraph: integer weights that are not initializers.
    """
    found = False
    for node in list(ir.traversal.RecursiveGraphIterator(graph)):
        if node.op_type == "DynamicQuantizeLSTM":
            _layer(graph, node)
            found = True
        elif node.op_type == "MatMulInteger" and _rounded(node) is not None:
            _product(graph, node)
            found = True
    if found:
        for node in list(ir.traversal.RecursiveGraphIterator(graph)):
            if node.op_type == "DynamicQuantizeLinear":
                _forget_scale(graph, node)
        remove_unused(graph)
    return found


def _array(node: ir.Node, index: int) -> NDArray[np.generic]:
    value = node.inputs[index] if index < len(node.inputs) else None
    array = constant_array(value)
    if array is None:
        raise UnsupportedGraph(
            f"expected the integer weights of {node.op_type} node {node.name!r} to be "
            f"initializers, got computed ones; adopt the float32 model instead"
        )
    return array


def _layer(graph: ir.Graph, node: ir.Node) -> None:
    """DynamicQuantizeLSTM keeps W as [D, I, 4H]; LSTM wants [D, 4H, I]."""
    e = Emitter(graph)
    weights = []
    for index, place in zip((1, 2), _SCALES, strict=True):
        integers, scale, zero = (_array(node, i) for i in (index, place, place + 1))
        centred = integers.astype(np.float32) - _along(zero.astype(np.float32))
        floats = (centred * _along(scale.astype(np.float32))).transpose(0, 2, 1)
        name = f"{given(node, index).name}.float"
        weights.append(e.constant(np.ascontiguousarray(floats, np.float32), name))
    attributes = {key: attr.value for key, attr in node.attributes.items()}
    inputs = [node.inputs[0], *weights, *node.inputs[3:8]]
    made = e.ops("LSTM", *inputs, outputs=len(node.outputs), **attributes)
    e.replace(node, *made)


def _along(parameters: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scales or zero points [D] or [D, 4H], to broadcast over [D, I, 4H]."""
    return parameters.reshape(len(parameters), 1, -1)


def _rounded(node: ir.Node) -> ir.Node | None:
    """The DynamicQuantizeLinear that a product reads, if it does."""
    before = given(node, 0).producer()
    return before if before is not None and before.op_type == "DynamicQuantizeLinear" else None


def _product(graph: ir.Graph, node: ir.Node) -> None:
    source = _rounded(node)
    if source is None:
        raise ValueError(f"{node.name!r} reads no rounded activations")
    integers = _array(node, 1).astype(np.float32)
    has_zero = len(node.inputs) > 3 and node.inputs[3] is not None
    zero = _array(node, 3).astype(np.float32) if has_zero else np.float32(0)
    e = Emitter(graph)
    weights = e.constant(integers - zero, f"{given(node, 1).name}.float")
    product = e.op("MatMul", given(source, 0), weights)
    product.type = ir.TensorType(ir.DataType.FLOAT)  # no longer the integers that it replaces
    e.replace(node, product)


def _forget_scale(graph: ir.Graph, node: ir.Node) -> None:
    """The product is no longer in units of the activations' scale."""
    one = Emitter(graph).constant(np.float32(1))
    for user, index in list(node.outputs[1].uses()):
        user.replace_input_with(index, one)
