"""A network's recurrent layers as opaque ops (`opaque_ops.py`) while it is captured.

Before tracing, every `treadle_train.cells.Layer` is replaced by an `OpaqueLayer`, which holds its
weights in ONNX's layout and calls one op a layer.

Shapes: B batch, T time, D directions, H hidden size, I input size, G gates.
"""

from typing import Any

import torch
from torch import Tensor, nn

from treadle.errors import UnsupportedGraph
from treadle_export.capturing.opaque_ops import in_onnx_order
from treadle_train.cells import GRU, LSTM, Cell, Elman, Layer, PeepholeLSTM

_KINDS: dict[type[Cell[Any]], str] = {
    LSTM: "lstm",
    PeepholeLSTM: "lstm",
    GRU: "gru",
    Elman: "rnn",
}


def _reordered(cell: Cell[Any], blocks: Tensor) -> Tensor:
    """`blocks` [G*H, …] with its gates in ONNX's order."""
    return in_onnx_order(_KINDS[type(cell)], blocks)


def _peepholes(cell: PeepholeLSTM) -> Tensor:
    """p_i, p_f, p_o [3*H] in ONNX's order: i o f."""
    to_input, to_forget, to_output = cell.peepholes.detach().chunk(3)
    return torch.cat([to_input, to_output, to_forget])


class OpaqueLayer(nn.Module):
    """Stands in for a `Layer` while a graph is captured.

    Same methods and state names as the layer it replaces; its weights are buffers in ONNX layout:
    `w` [D, G*H, I], `r` [D, G*H, H], `b` [D, 2*G*H], and `p` [D, 3*H] where an LSTM has peepholes.

    Raises:
        UnsupportedGraph: the layer's cell is none of Elman, LSTM and GRU.
    """

    w: Tensor
    r: Tensor
    b: Tensor
    p: Tensor | None

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        cells = [cell for cell in (layer.forward_cell, layer.reverse_cell) if cell is not None]
        if type(cells[0]) not in _KINDS:
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
        peepholes = [_peepholes(c) for c in cells if isinstance(c, PeepholeLSTM)]
        self.register_buffer("p", torch.stack(peepholes) if peepholes else None)

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
            return list(torch.ops.treadle.lstm(*weights, *parts, self.p))
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
