"""The weights of one layer of a recurrent torch module, in ONNX's layout, and the op they go into.

A projected LSTM (`proj_size`) has no operator in ONNX. Its layer runs on the state before the
projection: R' = R·P are the recurrent weights, P·h the output. The hidden state that is carried is
the one before the projection; zeros stay zeros, and no other projected state can be given.

Shapes: B batch, T time, D directions, G gates, I input size, H hidden size, P projected size.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from treadle_export.capturing.opaque_ops import in_onnx_order

PROJECTIONS = ("p", "p_reverse")
"""Names of the projections [H, P] of a layer's directions."""
LOST = "lost"
"""Name of the zeros that a projected initial state is multiplied with; see `projections.py`."""


class OpaqueWeights(nn.Module):
    """The weights of one layer in ONNX's layout, in float32, and the op that they go into.

    Buffers: `w` [D, G*H, I], `r` [D, G*H, H], `b` [D, 2*G*H], zeros where the module has no biases.
    With a projection `p` and `p_reverse` [H, P], and `lost` [P, H], zeros: what a projected initial
    state is multiplied with, for it cannot be undone. `projections.py` takes that out again.
    """

    w: Tensor
    r: Tensor
    b: Tensor
    lost: Tensor

    def __init__(self, part: nn.Module, kind: str, layer: int) -> None:
        super().__init__()
        self.kind = kind
        self.activation = "Relu" if getattr(part, "nonlinearity", "tanh") == "relu" else "Tanh"
        ends = [""]
        if isinstance(part, nn.RNNBase):
            ends = [f"_l{layer}", f"_l{layer}_reverse"][: 1 + part.bidirectional]
        self.projections = PROJECTIONS[: len(ends) if getattr(part, "proj_size", 0) else 0]
        for name, end in zip(self.projections, ends, strict=False):
            self.register_buffer(name, _weight(part, f"weight_hr{end}").T.contiguous())
        directions = [_in_onnx_layout(part, kind, end) for end in ends]
        for name, parts in zip("wrb", zip(*directions, strict=True), strict=True):
            self.register_buffer(name, torch.stack(parts))
        if self.projections:
            hidden, projected = self.get_buffer(PROJECTIONS[0]).shape
            self.register_buffer(LOST, torch.zeros(projected, hidden))

    def forward(
        self, x: Tensor, lengths: Tensor | None, parts: Sequence[Tensor | None]
    ) -> tuple[Tensor, list[Tensor]]:
        """X [T, B, I], parts [D, B, H] or None -> outputs [T, B, D*H], final parts [D, B, H]."""
        hidden, *cell = parts
        if self.projections and hidden is not None:
            hidden = hidden @ self.lost
        weights = (x, self.w, self.r, self.b, lengths, hidden)
        if self.kind == "lstm":
            outputs, *finals = torch.ops.treadle.lstm(*weights, *cell)
        elif self.kind == "gru":
            outputs, *finals = torch.ops.treadle.gru(*weights, 1)
        else:
            outputs, *finals = torch.ops.treadle.rnn(*weights, self.activation)
        if self.projections:
            finals[0] = torch.stack(self._projected(finals[0].unbind(0)))
            ends = [outputs.squeeze(1)] if len(self.w) == 1 else outputs.unbind(1)
            return torch.cat(self._projected(ends), -1), finals
        if len(self.w) == 1:
            return outputs.squeeze(1), finals
        return outputs.transpose(1, 2).flatten(2), finals

    def _projected(self, ends: Sequence[Tensor]) -> list[Tensor]:
        """Of each direction [..., H] -> [..., P]."""
        weights = [self.get_buffer(name) for name in self.projections]
        return [end @ weight for end, weight in zip(ends, weights, strict=True)]


def _weight(part: nn.Module, name: str) -> Tensor:
    weight: Tensor = getattr(part, name)
    return weight.detach()


def _in_onnx_layout(part: nn.Module, kind: str, end: str) -> tuple[Tensor, Tensor, Tensor]:
    """One direction's w [G*H, I], r [G*H, H] and b [2*G*H]."""
    w, r = _weight(part, f"weight_ih{end}"), _weight(part, f"weight_hh{end}")
    if getattr(part, "proj_size", 0):
        r = (r.double() @ _weight(part, f"weight_hr{end}").double()).float()
    zeros = w.new_zeros(w.shape[0])
    biases = [_weight(part, f"bias_{which}{end}") if part.bias else zeros for which in ("ih", "hh")]
    ordered = [in_onnx_order(kind, bias) for bias in biases]
    return in_onnx_order(kind, w), in_onnx_order(kind, r), torch.cat(ordered)
