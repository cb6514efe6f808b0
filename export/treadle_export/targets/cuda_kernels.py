"""The kernels of onnxruntime's CUDA execution provider for operators of opset 18.

Source: docs/OperatorKernels.md of microsoft/onnxruntime, generated from the registered kernels, at
commit 001d12d2623f of early 2026 (about version 1.24); operators that no recurrent model uses
are left out, and so are those of signal and image processing.

Opset 18, since a kernel that is registered without an end serves only the version of the definition
that it was registered for (onnxruntime/core/framework/kernel_registry.cc). Opset 21 defined Shape,
Reshape, Transpose, Squeeze, Unsqueeze, Scan, Loop, If, Identity, ConstantOfShape, Pad and others
anew, for more types; engines registered them late or not yet (pull requests 26075 and 27728, issue
27102), and until then a graph of opset 21 runs them on the CPU.
"""

from treadle_export.targets.kernels import Table, Types

_FLOATS = frozenset({"float16", "float", "double"})
_BFLOATS = _FLOATS | {"bfloat16"}
_LARGE = frozenset({"int32", "int64", "uint32", "uint64"})
_NUMBERS = _BFLOATS | _LARGE | {"int8", "int16", "uint8", "uint16"}
_BOOLS = frozenset({"bool"})
_FIXED = _NUMBERS | _BOOLS
_INDICES = frozenset({"int32", "int64"})
_BYTES = frozenset({"int8", "uint8"})


def _each(types: frozenset[str], names: str, parameter: str = "T") -> dict[str, list[Types]]:
    """Operators whose one type parameter takes the same types."""
    return {f"ai.onnx:{name}": [{parameter: types}] for name in names.split()}


_ONNX: dict[str, list[Types]] = {
    **_each(_NUMBERS, "Abs Add Div Mul Sign Sub"),
    **_each(_FLOATS | _LARGE, "CumSum Greater GreaterOrEqual Less LessOrEqual"),
    **_each(_FLOATS | _LARGE | _BOOLS, "Equal"),
    **_each(_BFLOATS | _LARGE, "Max Min Mod"),
    **_each(_BOOLS, "And Not Or Xor"),
    **_each(_BFLOATS, "Erf Exp Gemm MatMul Relu Sigmoid Softmax Sqrt Sum Tanh"),
    **_each(
        _FLOATS,
        "ArgMax ArgMin AveragePool BatchNormalization Ceil Conv ConvTranspose Cos Einsum Elu Floor "
        "GRU GlobalAveragePool GlobalMaxPool HardSigmoid InstanceNormalization LSTM LeakyRelu Log "
        "LogSoftmax PRelu RNN Reciprocal ReduceLogSum ReduceLogSumExp ReduceSumSquare Round Selu "
        "Sin Softplus Softsign ThresholdedRelu",
    ),
    **_each(_FLOATS | {"int32"}, "ReduceL1 ReduceL2 ReduceMean ReduceProd"),
    **_each(_FLOATS | _INDICES, "ReduceMax TopK"),
    **_each(_BFLOATS | _INDICES, "Pow ReduceSum Tile"),
    **_each(_BFLOATS | {"int8", "int16", "int32", "int64"}, "Neg"),
    **_each(_FLOATS | _INDICES | _BYTES, "ReduceMin"),
    **_each(_FLOATS | _BYTES | {"int64", "uint64"}, "Clip"),
    **_each(_FLOATS | _BOOLS, "Pad"),
    **_each(_BFLOATS | _INDICES | {"uint8"}, "Where"),
    **_each(frozenset({"float", "double", "int16", "int32", "int64"}), "Range"),
    **_each(_BFLOATS | {"bool", "int64"}, "GatherND"),
    **_each(
        _FIXED,
        "Compress Concat Expand Flatten Gather GatherElements Reshape ReverseSequence "
        "ScatterElements ScatterND Shape Size Slice Split Squeeze Transpose Trilu Unsqueeze",
    ),
    **_each(_FIXED, "Identity If Loop Scan", "V"),
    **_each(_BFLOATS, "LayerNormalization"),
    "ai.onnx:Cast": [{"T1": _FIXED, "T2": _FIXED}],
    "ai.onnx:ConstantOfShape": [{"T2": _FIXED}],
    "ai.onnx:DequantizeLinear": [{"T": _BYTES}],
    "ai.onnx:MatMulInteger": [{"T1": frozenset({"int8"}), "T2": frozenset({"int8"})}],
    "ai.onnx:QuantizeLinear": [{"T1": frozenset({"float"}), "T2": _BYTES}],
}
_MICROSOFT: dict[str, list[Types]] = {
    "com.microsoft:FusedMatMul": [{"T": _BFLOATS}],
    "com.microsoft:GatherBlockQuantized": [
        {
            "T1": frozenset({"int4", "uint4", "uint8"}),
            "T2": frozenset({"float", "float16", "bfloat16"}),
        }
    ],
    "com.microsoft:MatMulNBits": [
        {"T1": frozenset({"float", "float16", "bfloat16"}), "T2": frozenset({"uint8"})}
    ],
}
CUDA_KERNELS: Table = {**_ONNX, **_MICROSOFT}
