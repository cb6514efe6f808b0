"""ExecuTorch with XNNPACK: `torch.export`, and PT2E quantization with its XNNPACK quantizer.

A step is exported with cells of linear layers. int8 is dynamic, a scale a row.
"""

from __future__ import annotations

import warnings
from importlib.metadata import version as version_of
from typing import TYPE_CHECKING, Any

import torch

from benchmarks.peers.workloads import REFERENCE, WEIGHTS, loaded

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from benchmarks.peers.case import Case
    from benchmarks.peers.workloads import Ids


def version() -> str:
    """Of the package."""
    return version_of("executorch")


def convert(case: Case) -> None:
    """PyTorch to a program."""
    from executorch.backends.xnnpack.partition.config.xnnpack_config import ConfigPrecisionType
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    from benchmarks.peers.models import example_of, module_of

    weights = loaded(case.folder / WEIGHTS)
    module = module_of(case.workload, case.cell, weights, cells=True)
    example = example_of(case.workload, case.cell)
    parts = [XnnpackPartitioner()]
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of deprecation
        if case.precision == "int8":
            module = _quantized(module, example)
            dynamic = ConfigPrecisionType.DYNAMIC_QUANT
            parts.insert(0, XnnpackPartitioner(config_precisions=dynamic, per_op_mode=True))
        lowered = to_edge_transform_and_lower(
            torch.export.export(module, example), partitioner=parts
        )
        case.file(".pte").write_bytes(lowered.to_executorch().buffer)


def _quantized(module: torch.nn.Module, example: tuple[torch.Tensor, ...]) -> torch.nn.Module:
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
        XNNPACKQuantizer,
        get_symmetric_quantization_config,
    )
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    quantizer = XNNPACKQuantizer()
    quantizer.set_global(get_symmetric_quantization_config(is_per_channel=True, is_dynamic=True))
    prepared = prepare_pt2e(torch.export.export(module, example).module(), quantizer)
    prepared(*example)
    converted: torch.nn.Module = convert_pt2e(prepared)
    return converted


def load(case: Case) -> ProgramRunner:
    """The program's method, with as many threads as asked; otherwise it would take all cores."""
    from executorch.extension.pybindings import portable_lib

    torch.set_num_threads(case.threads)
    portable_lib._unsafe_reset_threadpool(case.threads)
    return ProgramRunner(case)


class ProgramRunner:
    """The binding takes tensors of PyTorch; outputs lie in memory that the next call reuses."""

    def __init__(self, case: Case) -> None:
        from executorch.runtime import Runtime

        self._program = Runtime.get().load_program(str(case.file(".pte")))
        self._method: Any = self._program.load_method("forward")
        self._attended: list[torch.Tensor] = []
        if case.workload.kind == "decoder":
            self._attended = [torch.from_numpy(loaded(case.folder / REFERENCE)["memory"])]
        count = {"tagger": 0}.get(case.workload.kind, 2 if case.cell == "lstm" else 1)
        self._first = [torch.zeros(case.workload.states) for _ in range(count)]
        self._states = self._first

    def start(self) -> None:
        """Zeros."""
        self._states = self._first

    def step(self, tokens: Ids) -> NDArray[np.float32]:
        """One execution of the method."""
        read = torch.from_numpy(tokens)
        logits, *states = self._method.execute((read, *self._states, *self._attended))
        self._states = [state.clone() for state in states]
        made: NDArray[np.float32] = logits.numpy()
        return made
