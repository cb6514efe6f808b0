"""cuda: onnxruntime's CUDA execution provider, with nothing left to the CPU.

What falls back, and what is done about it:
- LSTM, GRU and RNN nodes with clip, activations other than the default ones, peepholes,
  input_forget, or linear_before_reset other than 1 (`RNNNeedFallbackToCPU` of
  onnxruntime/core/providers/cuda/cuda_execution_provider.cc): such a layer is lowered to `cell` and
  `scan`.
- Operators of opset 21, as `cuda_kernels.py` says: graphs are written in opset 18.
- Products of integers (MatMulInteger of unsigned activations, DynamicQuantizeMatMul) have no
  kernel, so `int8`, `int4` and `int8-tensorwise` are refused.
- MatMulNBits with a bias raises an error when it runs, in engines before the middle of 2026
  (onnxruntime/contrib_ops/cuda/quantization/matmul_nbits.cc): a node of its own adds the bias. The
  kernel keeps activations in float, so the graph says so (`accuracy_level` 1), and its golden trace
  holds what the device will compute.
- CUDA graphs hold no If, Loop or Scan (onnxruntime's documentation of the provider): the step graph
  may have none.
Rows of a batch share kernels that a GPU chooses by size, so no precision promises exactness here.

No test of the project has a GPU: they hold graphs against this table, and run them on the CPU.
"""

import onnx_ir as ir

from treadle_export.passes.float_blocks import FloatBlocks
from treadle_export.passes.write_opset import WriteOpset
from treadle_export.targets.cuda_kernels import CUDA_KERNELS
from treadle_export.targets.target import Pass, Target

_OPSET = 18
_CONTROL_FLOW = frozenset({"If", "Loop", "Scan"})
_ACTIVATIONS = {"LSTM": ("sigmoid", "tanh", "tanh"), "GRU": ("sigmoid", "tanh"), "RNN": ("tanh",)}
_PEEPHOLES = 7  # input of LSTM


_UNPROVEN = (
    "the parity ladder is climbed on this machine's CPU: `treadle verify --device cuda` proves the "
    "bundle where there is a GPU"
)


def _fault(graph_name: str, node: ir.Node) -> str | None:
    if node.op_type in _ACTIVATIONS and node.domain == "":
        return _recurrent_fault(node)
    if node.op_type in _CONTROL_FLOW and graph_name == "step":
        return "a CUDA graph of a step holds no control flow"
    if node.op_type == "ConvTranspose" and _asymmetric(node):
        return "with padding that is not symmetric it falls back to the CPU"
    return None


def _recurrent_fault(node: ir.Node) -> str | None:
    attributes = node.attributes
    found = [n for n in ("clip", "activation_alpha", "activation_beta") if n in attributes]
    expected = _ACTIVATIONS[node.op_type]
    activations = tuple(name.lower() for name in attributes.get_strings("activations", ()))
    if activations not in ((), expected, expected * 2):
        found.append("activations")
    if attributes.get_int("input_forget", 0):
        found.append("input_forget")
    if node.op_type == "GRU" and attributes.get_int("linear_before_reset", 0) != 1:
        found.append("linear_before_reset other than 1")
    if node.op_type == "LSTM" and len(node.inputs) > _PEEPHOLES and node.inputs[_PEEPHOLES]:
        found.append("peepholes")
    return f"with {', '.join(found)} it falls back to the CPU" if found else None


def _asymmetric(node: ir.Node) -> bool:
    pads = tuple(node.attributes.get_ints("pads", ()))
    half = len(pads) // 2
    automatic = node.attributes.get_string("auto_pad", "NOTSET").startswith("SAME")
    return automatic or pads[:half] != pads[half:]


def _passes() -> list[Pass]:
    return [FloatBlocks(), WriteOpset(_OPSET)]


_PRECISIONS = ("float16", "float32", "int8-block", "int8-fast", "int4-block", "int4-fast")

CUDA = Target(
    name="cuda",
    summary="onnxruntime on a GPU of NVIDIA",
    kernels=lambda _opset: CUDA_KERNELS,
    precisions=_PRECISIONS,
    opset=_OPSET,
    aligned=False,
    masked=True,
    fault=_fault,
    passes=_passes,
    notes=dict.fromkeys(_PRECISIONS, _UNPROVEN),
)
