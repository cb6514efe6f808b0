"""cpu: onnxruntime on the processor of a desktop or a server. It runs all that Treadle writes."""

from treadle_export.quantization.precision import PRECISIONS
from treadle_export.targets.kernels import cpu_kernels
from treadle_export.targets.target import Target

CPU = Target(
    name="cpu",
    summary="onnxruntime on a processor",
    kernels=cpu_kernels,
    precisions=tuple(PRECISIONS),
)
