"""PyTorch: eager, traced and frozen, and with its own dynamic int8."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import torch
from torch import nn

from benchmarks.peers.models import example_of, module_of
from benchmarks.peers.workloads import REFERENCE, WEIGHTS, loaded

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from benchmarks.peers.case import Case
    from benchmarks.peers.workloads import Ids


def version() -> str:
    """Of the package."""
    return torch.__version__


def load(case: Case) -> TorchRunner:
    """The step in the asked form."""
    torch.set_num_threads(case.threads)
    return TorchRunner(case)


class TorchRunner:
    """States are the tensors that the step before returned."""

    def __init__(self, case: Case) -> None:
        self._mode = torch.inference_mode()
        self._mode.__enter__()  # for the life of the process: entering takes as long as an operator
        module = module_of(case.workload, case.cell, loaded(case.folder / WEIGHTS))
        _, *carried = example_of(case.workload, case.cell)
        self._attended = []
        if case.workload.kind == "decoder":
            carried.pop()
            memory = loaded(case.folder / REFERENCE)["memory"]
            self._attended = [torch.from_numpy(memory)]
        self._first = self._states = carried
        self._step = _formed(module, case)

    def start(self) -> None:
        """Zeros."""
        self._states = self._first

    def step(self, tokens: Ids) -> NDArray[np.float32]:
        """One call of the module."""
        logits, *self._states = self._step(torch.from_numpy(tokens), *self._states, *self._attended)
        made: NDArray[np.float32] = logits.numpy()
        return made


def _formed(module: nn.Module, case: Case) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of deprecation
        if case.engine.name == "torch jit":
            example = example_of(case.workload, case.cell)
            traced = torch.jit.trace(  # type: ignore[no-untyped-call]
                module, example, check_trace=False
            )
            frozen: nn.Module = torch.jit.freeze(traced)
            return frozen
        if case.precision == "int8":
            quantized: nn.Module = torch.ao.quantization.quantize_dynamic(  # type: ignore[no-untyped-call]
                module, {nn.LSTM, nn.GRU, nn.Linear}, dtype=torch.qint8
            )
            return quantized
    return module
