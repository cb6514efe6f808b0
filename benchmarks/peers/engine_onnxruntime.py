"""onnxruntime: the tutorial way, its `quantize_dynamic`, and products of blocks in a lowered cell.

The tutorial way is the file that PyTorch exports and `session.run` with dictionaries, the state fed
back by hand. `quantize_dynamic` leaves a GRU in float32. MatMulNBits is the best that its own tools
give an LSTM or GRU in few bits: the cell exported as products, which are then rounded in blocks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime

from benchmarks.peers.workloads import CELLS_ONNX, REFERENCE, STEP_ONNX, loaded

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from benchmarks.peers.case import Case
    from benchmarks.peers.workloads import Ids

BLOCK = 32
INT8_ACTIVATIONS = 4
"""accuracy_level: products of integers; with the default they are many times slower."""


def version() -> str:
    """Of the package."""
    return str(onnxruntime.__version__)


def convert(case: Case) -> None:
    """Quantize the exported step."""
    if case.engine.name.endswith("quantize_dynamic"):
        from onnxruntime.quantization import QuantType, quantize_dynamic

        source = case.folder / STEP_ONNX
        quantize_dynamic(source, case.file(".onnx"), weight_type=QuantType.QInt8)
    else:
        _write_blocks(case)


def _write_blocks(case: Case) -> None:
    import onnx
    from onnxruntime.quantization.matmul_nbits_quantizer import (
        DefaultWeightOnlyQuantConfig,
        MatMulNBitsQuantizer,
    )
    from onnxruntime.quantization.onnx_model import ONNXModel

    model = ONNXModel(onnx.load(case.folder / CELLS_ONNX))
    model.replace_gemm_with_matmul()
    config = DefaultWeightOnlyQuantConfig(
        block_size=BLOCK,
        is_symmetric=True,
        accuracy_level=INT8_ACTIVATIONS,
        bits=8 if case.precision == "int8" else 4,
    )
    quantizer = MatMulNBitsQuantizer(model.model, algo_config=config)
    quantizer.process()
    quantizer.model.save_model_to_file(str(case.file(".onnx")), use_external_data_format=False)


def load(case: Case) -> SessionRunner:
    """A session with the asked threads and otherwise default options."""
    onnxruntime.set_default_logger_severity(3)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = case.threads
    path = case.folder / STEP_ONNX if case.precision == "fp32" else case.file(".onnx")
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return SessionRunner(session, case)


class SessionRunner:
    """`session.run` with dictionaries."""

    def __init__(self, session: Any, case: Case) -> None:
        self._session = session
        self._feeds: dict[str, Any] = {}
        if case.workload.kind == "decoder":
            self._feeds["memory"] = loaded(case.folder / REFERENCE)["memory"]
        names = [value.name for value in session.get_inputs()]
        self._states = [name for name in names if name not in ("token", "memory")]
        self._zeros = np.zeros(case.workload.states, np.float32)

    def start(self) -> None:
        """Zeros."""
        self._feeds |= dict.fromkeys(self._states, self._zeros)

    def step(self, tokens: Ids) -> NDArray[np.float32]:
        """One run; its states become the next one's."""
        self._feeds["token"] = tokens
        logits: NDArray[np.float32]
        logits, *states = self._session.run(None, self._feeds)
        self._feeds.update(zip(self._states, states, strict=True))
        return logits
