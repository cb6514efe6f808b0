"""Dropout of whole symbols.

Notation: B batch, T time, E embedding size.
"""

from torch import Tensor, nn
from torch.nn import functional


class SymbolDropout(nn.Module):
    """In training, symbols lose their whole vector at the given rate; the others are scaled up.

    A network then relies less on any single symbol (Iyyer et al., "Deep unordered composition
    rivals syntactic methods for text classification", 2015; for decoders Bowman et al.,
    "Generating sentences from a continuous space", 2016).
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """Vectors of symbols float32 [..., E], each row of them kept or zero."""
        if not (self.training and self.rate):
            return x
        return x * functional.dropout(x.new_ones(x.shape[:-1]), self.rate)[..., None]

    def extra_repr(self) -> str:
        """The rate, for printing."""
        return f"{self.rate}"
