"""Networks as users export them: PyTorch's two exporters, and onnxruntime's quantizer."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from typing import TYPE_CHECKING, Any

import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BATCH, TIME, FEATURES, HIDDEN = 3, 5, 6, 8


class Reader(nn.Module):
    """A layer over a whole sequence and a head, written as most write it: states are dropped."""

    def __init__(self, kind: str, *, size: int = HIDDEN, **options: Any) -> None:
        super().__init__()
        self.layer = getattr(nn, kind)(FEATURES, size, batch_first=True, **options)
        self.head = nn.Linear(size * (2 if options.get("bidirectional") else 1), 4)

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = self.head(self.layer(x)[0])
        return outputs


class Streamer(Reader):
    """The same with its state as input and output."""

    def forward(self, x: Tensor, *state: Tensor) -> tuple[Tensor, ...]:  # type: ignore[override]
        outputs, final = self.layer(x, state if len(state) == 2 else state[0])
        return (self.head(outputs), *(final if isinstance(final, tuple) else (final,)))


class Packer(Reader):
    """A bidirectional layer that is told how long each row is."""

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:  # type: ignore[override]
        packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True)
        outputs = nn.utils.rnn.pad_packed_sequence(self.layer(packed)[0], batch_first=True)[0]
        answer: Tensor = self.head(outputs)
        return answer


class CellLoop(nn.Module):
    """A cell called step by step in a Python loop."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.cell = getattr(nn, kind)(FEATURES, HIDDEN)

    def forward(self, x: Tensor) -> Tensor:
        hidden = x.new_zeros(x.shape[0], HIDDEN)
        for step in range(x.shape[1]):
            hidden = self.cell(x[:, step], hidden)
        return hidden


def older(
    network: nn.Module, path: Path, *inputs: Tensor, axes: dict[str, dict[int, str]] | None = None
) -> Path:
    """The exporter that traces TorchScript; `axes` are the free ones, by name of the input."""
    names = ["x", *(f"input{i}" for i in range(1, len(inputs)))]
    with _quiet():
        torch.onnx.export(
            network.eval(),
            inputs,
            path,
            dynamo=False,
            input_names=names,
            dynamic_axes=axes,
            verbose=False,
        )
    return path


def newer(network: nn.Module, path: Path, *inputs: Tensor, free: bool) -> Path:
    """The exporter built on torch.export, batch and time free or not."""
    axes = {0: torch.export.Dim.AUTO, 1: torch.export.Dim.AUTO}
    with _quiet():
        torch.onnx.export(
            network.eval(),
            inputs,
            path,
            dynamo=True,
            input_names=["x"],
            dynamic_shapes=(axes,) if free else None,
            verbose=False,
        )
    return path


def quantized(path: Path, *, unsigned: bool = False, reduced: bool = False) -> Path:
    """What onnxruntime's dynamic quantization makes of a file."""
    made = path.with_name(f"{path.stem}-int8.onnx")
    kind = QuantType.QUInt8 if unsigned else QuantType.QInt8
    with _quiet():
        quantize_dynamic(path, made, weight_type=kind, reduce_range=reduced)
    return made


def example() -> Tensor:
    return torch.zeros(BATCH, TIME, FEATURES)


def zeros() -> Tensor:
    return torch.zeros(1, BATCH, HIDDEN)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silences what the exporters say of themselves, deprecations included."""
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
