"""The call of torch's exporter: from a module with opaque recurrent layers to an ONNX graph."""

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import onnx_ir as ir
import torch
from torch import nn
from torch.export import ExportedProgram

from treadle.errors import UnsupportedGraph
from treadle_export.canonical import OPSET
from treadle_export.capturing.opaque_ops import TRANSLATIONS


def exported(
    module: nn.Module, args: tuple[Any, ...], dynamic_shapes: dict[str, Any]
) -> ExportedProgram:
    """`module` called with `args`, as torch.export sees it; whatever it raises is left to rise."""
    with _quiet():
        return torch.export.export(module, args, dynamic_shapes=dynamic_shapes)


def to_onnx(
    program: ExportedProgram, input_names: Sequence[str], output_names: Sequence[str]
) -> ir.Model:
    """The ONNX graph of a program, recurrent ops as ONNX nodes.

    Raises:
        UnsupportedGraph: torch's exporter gave no graph; what it raises itself is left to rise.
    """
    with _quiet():
        onnx_program = torch.onnx.export(
            program,
            dynamo=True,
            opset_version=OPSET,
            verbose=False,
            input_names=input_names,
            output_names=output_names,
            custom_translation_table=TRANSLATIONS,
        )
    if onnx_program is None:
        raise UnsupportedGraph("torch.onnx.export gave no graph")
    return onnx_program.model


@contextmanager
def _quiet() -> Iterator[None]:
    """Silences what torch's exporter says of packages and shapes that do not concern the user."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
