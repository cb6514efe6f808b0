"""The opaque recurrent ops: how a layer crosses `torch.export` and becomes one ONNX node.

`torch.export` unrolls, freezes or rewrites a recurrent layer that it can see into. It cannot see
into a custom op. Each op here maps to one ONNX LSTM, GRU or RNN node: weights in ONNX's gate order,
true lengths, batch and time dynamic, initial states that may be left out.

Shapes: B batch, T time, D directions, H hidden size, I input size, G gates. x [T, B, I]; w
[D, G*H, I]; r [D, G*H, H]; b [D, 2*G*H]; lengths int32 [B]; states [D, B, H]; the ops return
outputs [T, D, B, H] and final states [D, B, H]. Peepholes of an LSTM [D, 3*H], in the order i o f.
"""

from collections.abc import Callable
from typing import Any

import torch
from onnxscript import opset21 as op
from torch import Tensor

_NEVER_RUN = "this op only stands for a recurrent layer while a graph is captured; it does not run"


@torch.library.custom_op("treadle::lstm", mutates_args=())
def _lstm(
    x: Tensor,
    w: Tensor,
    r: Tensor,
    b: Tensor,
    lengths: Tensor | None,
    hidden: Tensor | None,
    cell: Tensor | None,
    peepholes: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    raise RuntimeError(_NEVER_RUN)


@torch.library.custom_op("treadle::gru", mutates_args=())
def _gru(
    x: Tensor,
    w: Tensor,
    r: Tensor,
    b: Tensor,
    lengths: Tensor | None,
    hidden: Tensor | None,
    linear_before_reset: int,
) -> tuple[Tensor, Tensor]:
    raise RuntimeError(_NEVER_RUN)


@torch.library.custom_op("treadle::rnn", mutates_args=())
def _rnn(
    x: Tensor,
    w: Tensor,
    r: Tensor,
    b: Tensor,
    lengths: Tensor | None,
    hidden: Tensor | None,
    activation: str,
) -> tuple[Tensor, Tensor]:
    raise RuntimeError(_NEVER_RUN)


def _outputs(x: Tensor, r: Tensor) -> tuple[Tensor, Tensor]:
    time, batch, _ = x.shape
    directions, _, hidden = r.shape
    return x.new_empty(time, directions, batch, hidden), x.new_empty(directions, batch, hidden)


@_lstm.register_fake
def _(x, w, r, b, lengths, hidden, cell, peepholes=None):  # type: ignore[no-untyped-def]
    outputs, final = _outputs(x, r)
    return outputs, final, torch.empty_like(final)


@_gru.register_fake
def _(x, w, r, b, lengths, hidden, linear_before_reset):  # type: ignore[no-untyped-def]
    return _outputs(x, r)


@_rnn.register_fake
def _(x, w, r, b, lengths, hidden, activation):  # type: ignore[no-untyped-def]
    return _outputs(x, r)


def _attributes(r: Any) -> dict[str, Any]:
    return {
        "hidden_size": r.shape[2],
        "direction": "bidirectional" if r.shape[0] == 2 else "forward",
    }


def _onnx_lstm(x, w, r, b, lengths, hidden, cell, peepholes=None):  # type: ignore[no-untyped-def]
    return op.LSTM(x, w, r, b, lengths, hidden, cell, peepholes, **_attributes(r))


def _onnx_gru(x, w, r, b, lengths, hidden, linear_before_reset):  # type: ignore[no-untyped-def]
    return op.GRU(
        x, w, r, b, lengths, hidden, linear_before_reset=linear_before_reset, **_attributes(r)
    )


def _onnx_rnn(x, w, r, b, lengths, hidden, activation):  # type: ignore[no-untyped-def]
    return op.RNN(
        x, w, r, b, lengths, hidden, activations=[activation] * r.shape[0], **_attributes(r)
    )


TRANSLATIONS: dict[Callable[..., Any], Callable[..., Any]] = {
    torch.ops.treadle.lstm.default: _onnx_lstm,
    torch.ops.treadle.gru.default: _onnx_gru,
    torch.ops.treadle.rnn.default: _onnx_rnn,
}
"""`custom_translation_table` for `torch.onnx.export`."""

_GATE_ORDER: dict[str, tuple[int, ...]] = {
    "lstm": (0, 3, 1, 2),  # i f g o -> i o f c
    "gru": (1, 0, 2),  # r z n -> z r h
    "rnn": (0,),
}
"""torch's gate blocks by kind of layer, in the order in which ONNX wants them."""


def in_onnx_order(kind: str, blocks: Tensor) -> Tensor:
    """`blocks` [G*H, …] of an `lstm`, `gru` or `rnn` layer with its gates in ONNX's order."""
    order = _GATE_ORDER[kind]
    parts = blocks.detach().chunk(len(order), 0)
    return torch.cat([parts[index] for index in order])
