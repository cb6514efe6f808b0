"""The files that several engines start from: ONNX in both forms, and TorchScript.

The older exporter writes the ONNX files: the newer one leaves slices and concatenations on the
weights of an LSTM, so that onnxruntime neither packs nor quantizes them.
"""

import warnings
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from benchmarks.peers.models import example_of, module_of, names_of
from benchmarks.peers.workloads import CELLS_ONNX, STEP_ONNX, STEP_SCRIPT, Weights, Workload

OPSET = 17


def write_exports(workload: Workload, cell: str, weights: Weights, folder: Path) -> None:
    """All of them; a tagger has no second form, which is one step's."""
    step = module_of(workload, cell, weights)
    alone = example_of(replace(workload, streams=1), cell)  # of ncnn, which has no batch
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of deprecation
        traced = torch.jit.trace(step, alone, check_trace=False)  # type: ignore[no-untyped-call]
        traced.save(folder / STEP_SCRIPT)
        _write_onnx(step, workload, cell, folder / STEP_ONNX)
        if workload.kind != "tagger":
            cells = module_of(workload, cell, weights, cells=True)
            _write_onnx(cells, workload, cell, folder / CELLS_ONNX)


def _write_onnx(module: nn.Module, workload: Workload, cell: str, path: Path) -> None:
    inputs, outputs = names_of(workload, cell)
    torch.onnx.export(
        module,
        example_of(workload, cell),
        path,
        input_names=inputs,
        output_names=outputs,
        opset_version=OPSET,
        dynamo=False,
    )
