"""OpenVINO on the CPU: the exported ONNX file, its states inside the inference request.

fp32 has LSTM and GRU operators; the weights of int8 and int4 are compressed by NNCF (int4 in groups
of 32, all layers), which needs the cell in products. Float32 arithmetic is asked for, since the
plugin would choose bfloat16 by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import openvino

from benchmarks.peers.workloads import CELLS_ONNX, REFERENCE, STEP_ONNX, loaded

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from benchmarks.peers.case import Case
    from benchmarks.peers.workloads import Ids


def version() -> str:
    """Of the package, without the build."""
    return str(openvino.__version__).partition("-")[0]


def convert(case: Case) -> None:
    """ONNX to OpenVINO's own file, stateful unless whole sentences are read."""
    from openvino import passes

    cells = case.precision != "fp32" and case.workload.kind != "tagger"
    model = openvino.convert_model(case.folder / (CELLS_ONNX if cells else STEP_ONNX))
    if case.precision != "fp32":
        model = _compressed(model, case.precision)
    if case.workload.kind != "tagger":
        names = [name for value in model.inputs for name in value.names]
        states = {name: f"next_{name}" for name in ("hidden", "cell") if name in names}
        manager = passes.Manager()
        manager.register_pass(passes.MakeStateful(states))
        manager.run_passes(model)
    openvino.save_model(model, case.file(".xml"), compress_to_fp16=False)


def _compressed(model: Any, precision: str) -> Any:
    import nncf

    if precision == "int8":
        return nncf.compress_weights(model, mode=nncf.CompressWeightsMode.INT8_SYM)
    mode = nncf.CompressWeightsMode.INT4_SYM
    return nncf.compress_weights(model, mode=mode, group_size=32, all_layers=True)


def load(case: Case) -> RequestRunner:
    """A request for low latency with the asked threads."""
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
        "ENABLE_CPU_PINNING": False,
        "INFERENCE_NUM_THREADS": case.threads,
        "INFERENCE_PRECISION_HINT": "f32",
    }
    compiled = openvino.Core().compile_model(case.file(".xml"), "CPU", settings)
    return RequestRunner(compiled, case)


class RequestRunner:
    """One request with tensors that are shared once."""

    def __init__(self, compiled: Any, case: Case) -> None:
        self._request = compiled.create_infer_request()
        sentence = case.workload.kind == "tagger"
        shape = (case.workload.length, 1) if sentence else (case.workload.streams,)
        self._token = np.zeros(shape, np.int64)
        self._share("token", self._token)
        if case.workload.kind == "decoder":
            self._memory = loaded(case.folder / REFERENCE)["memory"]
            self._share("memory", self._memory)
        self._logits = compiled.outputs[0]
        self._stateful = not sentence

    def _share(self, name: str, array: NDArray[Any]) -> None:
        self._request.set_tensor(name, openvino.Tensor(array, shared_memory=True))

    def start(self) -> None:
        """Zeros, from the request itself."""
        if self._stateful:
            self._request.reset_state()

    def step(self, tokens: Ids) -> NDArray[np.float32]:
        """One inference."""
        self._token[:] = tokens
        self._request.infer()
        logits: NDArray[np.float32] = self._request.get_tensor(self._logits).data
        return logits
