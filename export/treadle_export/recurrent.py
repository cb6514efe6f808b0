"""The opaque recurrent op: how a layer crosses `torch.export` and becomes one ONNX node.

`torch.export` unrolls, freezes or rewrites a recurrent layer that it can see into. It cannot see
into a custom op, so before tracing every `treadle_train.cells.Layer` is replaced by an
`OpaqueLayer`, whose one call maps to one ONNX LSTM, GRU or RNN node: weights as initializers in
ONNX's gate order, true lengths, batch and time dynamic.

Shapes: B batch, T time, D directions, H hidden size, I input size, G gates.
"""

from collections.abc import Callable
from typing import Any

import torch
from onnxscript import opset21 as op
from torch import Tensor, nn

from treadle.errors import UnsupportedGraph
from treadle_train.cells import GRU, LSTM, Cell, Elman, Layer

_NEVER_RUN = "this op only stands for a recurrent layer while a graph is captured; it does not run"


@torch.library.custom_op("treadle::lstm", mutates_args=())
def _lstm(
    x: Tensor, w: Tensor, r: Tensor, b: Tensor, lengths: Tensor | None, hidden: Tensor, cell: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    raise RuntimeError(_NEVER_RUN)


@torch.library.custom_op("treadle::gru", mutates_args=())
def _gru(
    x: Tensor,
    w: Tensor,
    r: Tensor,
    b: Tensor,
    lengths: Tensor | None,
    hidden: Tensor,
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
    hidden: Tensor,
    activation: str,
) -> tuple[Tensor, Tensor]:
    raise RuntimeError(_NEVER_RUN)


def _outputs(x: Tensor, r: Tensor) -> tuple[Tensor, Tensor]:
    time, batch, _ = x.shape
    directions, _, hidden = r.shape
    return x.new_empty(time, directions, batch, hidden), x.new_empty(directions, batch, hidden)


@_lstm.register_fake
def _(x, w, r, b, lengths, hidden, cell):  # type: ignore[no-untyped-def]
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


def _onnx_lstm(x, w, r, b, lengths, hidden, cell):  # type: ignore[no-untyped-def]
    return op.LSTM(x, w, r, b, lengths, hidden, cell, **_attributes(r))


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

# torch's gate blocks, in the order in which ONNX wants them: i f g o -> i o f c; r z n -> z r h.
_GATE_ORDER: dict[type[Cell[Any]], tuple[int, ...]] = {
    LSTM: (0, 3, 1, 2),
    GRU: (1, 0, 2),
    Elman: (0,),
}


def _reordered(cell: Cell[Any], blocks: Tensor) -> Tensor:
    """`blocks` [G*H, …] with its gates in ONNX's order."""
    order = _GATE_ORDER[type(cell)]
    parts = blocks.detach().chunk(len(order), 0)
    return torch.cat([parts[index] for index in order])


class OpaqueLayer(nn.Module):
    """Stands in for a `Layer` while a graph is captured.

    Same methods and state names as the layer it replaces; its weights are buffers in ONNX layout:
    `w` [D, G*H, I], `r` [D, G*H, H], `b` [D, 2*G*H].

    Raises:
        UnsupportedGraph: the layer's cell is none of Elman, LSTM and GRU.
    """

    w: Tensor
    r: Tensor
    b: Tensor

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        cells = [cell for cell in (layer.forward_cell, layer.reverse_cell) if cell is not None]
        if type(cells[0]) not in _GATE_ORDER:
            raise UnsupportedGraph(
                f"expected a recurrent layer of Elman, LSTM or GRU cells, got "
                f"{type(cells[0]).__name__}; write it with one of these"
            )
        self.cell = cells[0]
        self.directions = len(cells)
        self.register_buffer("w", torch.stack([_reordered(c, c.input_weights) for c in cells]))
        self.register_buffer("r", torch.stack([_reordered(c, c.recurrent_weights) for c in cells]))
        biases = [
            torch.cat([_reordered(c, c.input_bias), _reordered(c, c.recurrent_bias)]) for c in cells
        ]
        self.register_buffer("b", torch.stack(biases))

    def initial_state(self, batch_size: int) -> dict[str, Tensor]:
        """Zeros [B, H] by state name."""
        zeros = self.w.new_zeros(batch_size, self.r.shape[2])
        parts = self.cell.state_names
        names = [
            name for i in range(self.directions) for name in [self._names(p)[i] for p in parts]
        ]
        return dict.fromkeys(names, zeros)

    def _names(self, part: str) -> list[str]:
        return [part, f"reverse.{part}"][: self.directions]

    def _call(self, x: Tensor, lengths: Tensor | None, state: dict[str, Tensor]) -> list[Tensor]:
        """X [T, B, I] -> outputs [T, D, B, H] and one final state [D, B, H] for each state part."""
        parts = [
            torch.stack([state[name] for name in self._names(part)])
            if self.directions == 2
            else state[part].unsqueeze(0)
            for part in self.cell.state_names
        ]
        weights = (x, self.w, self.r, self.b, lengths)
        if isinstance(self.cell, LSTM):
            return list(torch.ops.treadle.lstm(*weights, *parts))
        if isinstance(self.cell, GRU):
            after = int(self.cell.reset == "after")
            return list(torch.ops.treadle.gru(*weights, *parts, after))
        activation = "Tanh" if getattr(self.cell, "nonlinearity", "tanh") == "tanh" else "Relu"
        return list(torch.ops.treadle.rnn(*weights, *parts, activation))

    def _final(self, finals: list[Tensor]) -> dict[str, Tensor]:
        state: dict[str, Tensor] = {}
        for part, final in zip(self.cell.state_names, finals, strict=True):
            if self.directions == 1:
                state[part] = final.squeeze(0)
            else:
                state.update(zip(self._names(part), final.unbind(0), strict=True))
        return state

    def step(self, x: Tensor, state: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """X [B, I] -> output [B, H] and the next state."""
        _, *finals = self._call(x.unsqueeze(0), None, state)
        next_state = self._final(finals)
        return next_state["hidden"], next_state

    def unroll(
        self, x: Tensor, state: dict[str, Tensor], lengths: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """X [B, T, I] -> outputs [B, T, D*H], zero where padded, and the state at each length."""
        outputs, *finals = self._call(x.transpose(0, 1), lengths.to(torch.int32), state)
        return outputs.permute(2, 0, 1, 3).flatten(2), self._final(finals)


def with_opaque_layers(network: nn.Module) -> nn.Module:
    """Replaces, in place, every recurrent layer of `network` by its `OpaqueLayer`."""
    for name, module in list(network.named_modules()):
        if isinstance(module, Layer):
            network.set_submodule(name, OpaqueLayer(module))
    return network
