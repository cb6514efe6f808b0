"""Operators of quantized graphs: which they are, and what each multiplies."""

import onnx_ir as ir

from treadle_export.lint.recurrences import DYNAMIC_LSTM, STANDARD
from treadle_export.passes.rewriting import MICROSOFT

_NAMED = {
    *("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "MatMulInteger"),
    *("ConvInteger", "MatMulNBits", "MatMulIntegerToFloat", "DynamicQuantizeMatMul", DYNAMIC_LSTM),
}

# Operator -> inputs that hold activations (None: quantized inside, to unsigned) and weights.
_PRODUCTS: dict[str, tuple[int | None, tuple[int, ...]]] = {
    "MatMulInteger": (0, (1,)),
    "MatMulIntegerToFloat": (0, (1,)),
    "QLinearMatMul": (0, (3,)),
    "QGemm": (0, (3,)),
    "DynamicQuantizeMatMul": (None, (1,)),
    DYNAMIC_LSTM: (None, (1, 2)),
}

_FLOAT_PRODUCTS = ("MatMul", "Gemm")


def is_quantizing(node: ir.Node) -> bool:
    """Whether a node shows that its file has been through quantization."""
    known = node.domain in STANDARD or node.domain == MICROSOFT
    return known and (node.op_type in _NAMED or node.op_type.startswith("QLinear"))


def unsigned_by(node: ir.Node) -> list[ir.Value]:
    """The weights that a node multiplies by unsigned 8-bit activations; none for other nodes.

    A MatMul or Gemm between two DequantizeLinear nodes counts: engines fuse the three.
    """
    if node.op_type in _FLOAT_PRODUCTS:
        stored = [_dequantized(value) for value in node.inputs[:2]]
        activations, weights = (stored[0], stored[1:]) if len(stored) > 1 else (None, [])
        unsigned = _is_unsigned(activations)
    elif node.op_type in _PRODUCTS:
        place, places = _PRODUCTS[node.op_type]
        unsigned = place is None or (place < len(node.inputs) and _is_unsigned(node.inputs[place]))
        weights = [node.inputs[i] for i in places if i < len(node.inputs)]
    else:
        return []
    return [weight for weight in weights if weight is not None] if unsigned else []


def _dequantized(value: ir.Value | None) -> ir.Value | None:
    """What a DequantizeLinear node reads, where it gives `value`."""
    node = None if value is None else value.producer()
    if node is None or node.op_type != "DequantizeLinear" or not node.inputs:
        return None
    return node.inputs[0]


def _is_unsigned(value: ir.Value | None) -> bool:
    if value is None:
        return False
    node = value.producer()
    if node is not None and node.op_type == "DynamicQuantizeLinear":
        return True
    return value.dtype == ir.DataType.UINT8
