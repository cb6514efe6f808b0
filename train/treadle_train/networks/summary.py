"""A whole source in one vector, for a decoder without attention."""

import torch
from torch import Tensor, nn


class Summary(nn.Module):
    """summary = tanh(W [last forward; last backward] + b);  h_0 = tanh(V summary + c).

    Cho et al., "Learning phrase representations using RNN encoder-decoder", 2014, with an encoder
    in both directions. Notation: B batch, E encoder output size, C summary size, H hidden size.
    """

    def __init__(self, memory_size: int, hidden_size: int, decoder_layers: int) -> None:
        super().__init__()
        self.project = nn.Linear(memory_size, hidden_size)
        self.start = nn.Linear(hidden_size, decoder_layers * hidden_size)
        self.decoder_layers = decoder_layers

    def forward(self, ends: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Last states of both directions [B, E] to (summary [B, C], initial hidden states).

        There is one initial hidden state [B, H] for each decoder layer.
        """
        summary = torch.tanh(self.project(ends))
        hidden = torch.tanh(self.start(summary))
        return summary, list(hidden.chunk(self.decoder_layers, dim=-1))
