"""cpu: onnxruntime on the processor of a desktop or a server. Everything that Treadle writes runs."""

from treadle_export.precision import PRECISIONS
from treadle_export.targets.kernels import cpu_kernels
from treadle_export.targets.target import Target

CPU = Target(
    name="cpu",
    summary="onnxruntime on x86-64 and other processors",
    kernels=cpu_kernels,
    precisions=tuple(PRECISIONS),
)
