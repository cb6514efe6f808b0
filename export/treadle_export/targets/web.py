"""web: onnxruntime-web, the engine's CPU kernels compiled to WebAssembly.

Its README (onnxruntime-web 1.24) promises full coverage of ONNX operators and of onnxruntime's
quantization, because it is the native CPU engine compiled by Emscripten; so the table of kernels is
that of the CPU. Its WebGPU and WebGL back ends have tables of their own, with fewer operators.

The browser has no files: a graph's external data is fetched by whoever opens the session and handed
over by the name that the graph says (`externalData: [{path, data}]` of the session's options). The
bundle's one weight file stands in `files` of its manifest, with digest and size.
"""

from treadle_export.quantization.precision import PRECISIONS
from treadle_export.targets.kernels import cpu_kernels
from treadle_export.targets.target import Target

_SLOWER = (
    "in WebAssembly float32 is the fastest for a small model, and a quantized one is the smaller "
    "download: time both where they will run"
)

WEB = Target(
    name="web",
    summary="onnxruntime-web in WebAssembly",
    kernels=cpu_kernels,
    precisions=tuple(PRECISIONS),
    notes=dict.fromkeys(("int8", "int8-block", "int8-fast", "int4", "int4-block"), _SLOWER),
)
