"""Dropout of what goes from layer to layer, with a new mask a step or with one a sequence.

Notation: B batch, T time, F features.
"""

from torch import Tensor, nn
from torch.nn import functional


class VariationalDropout(nn.Module):
    """In training, a sequence loses the same features at all of its steps; others are scaled up.

    Gal & Ghahramani, "A theoretically grounded application of dropout in recurrent neural
    networks", 2016. A new mask at every step is noise that a recurrent layer can average away;
    one mask a sequence is not. Every row has a mask of its own.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """Features float32 [B, T, F] with a mask a row; [B, F] counts as sequences of one step."""
        if not (self.training and self.rate):
            return x
        mask = x.new_ones(x.shape[0], *(1,) * (x.ndim - 2), x.shape[-1])
        return x * functional.dropout(mask, self.rate)

    def extra_repr(self) -> str:
        """The rate, for printing."""
        return f"{self.rate}"


def make_dropout(rate: float, *, variational: bool) -> nn.Module:
    """`VariationalDropout`, or torch's own with a new mask at every step."""
    return VariationalDropout(rate) if variational else nn.Dropout(rate)
