"""web: onnxruntime-web, the engine's CPU kernels compiled to WebAssembly.

Its README (onnxruntime-web 1.24) promises full coverage of ONNX operators and of onnxruntime's
quantization, because it is the native CPU engine compiled by Emscripten; so the table of kernels is
that of the CPU. It is not that of its WebGPU or WebGL back ends, which have no recurrent operators.

The browser has no files: a graph's external data is fetched by whoever opens the session and handed
over by the name that the graph says (`externalData: [{path, data}]` of the session's options). The
bundle's one weight file stands in `files` of its manifest, with digest and size.
"""

from treadle_export.precision import PRECISIONS
from treadle_export.targets.kernels import cpu_kernels
from treadle_export.targets.target import Target

_SLOWER = (
    "in WebAssembly products of integers have no fast instructions: for a small model float32 is "
    "the fastest, and a quantized one only the smaller download; time both in your browser"
)

WEB = Target(
    name="web",
    summary="onnxruntime-web in WebAssembly",
    kernels=cpu_kernels,
    precisions=tuple(PRECISIONS),
    notes=dict.fromkeys(("int8", "int8-block", "int4"), _SLOWER),
)
