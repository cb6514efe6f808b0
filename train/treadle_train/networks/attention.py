"""How a decoder looks at what the encoder read: one class for each kind of attention.

Everything that does not depend on the decoder's state is computed once, in `context`, so that a
decoding step stays short. Notation: B batch, M memory (padded source) length, T time, E encoder
output size, H hidden size.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from treadle_train.cells.ragged import valid_positions
from treadle_train.networks.network import Context

MASKED = -1e9
"""Added to the scores of padded memory rows: exp() of it is exactly zero in float32."""


class Attention(nn.Module, ABC):
    """a = softmax(score(h, keys) + mask);  h~ = tanh(W_h h + sum_m a_m values_m + b).

    values = memory · W_c is the context half of the mix tanh(W [h; c] + b) of Luong, Pham &
    Manning, "Effective approaches to attention-based neural machine translation", 2015: the
    weighted sum commutes with the product, so the product is taken once per source.
    """

    def __init__(self, memory_size: int, hidden_size: int) -> None:
        super().__init__()
        self.values = nn.Linear(memory_size, hidden_size, bias=False)
        self.mix = nn.Linear(hidden_size, hidden_size)

    def context(self, memory: Tensor, lengths: Tensor) -> Context:
        """What the decoder sees of memory [B, M, E] with lengths int64 [B].

        keys [B, M, H], values [B, M, H] and memory_mask float32 [B, M], 0 where valid and -1e9
        where padded.
        """
        valid = valid_positions(lengths, memory.shape[1])
        mask = torch.where(valid, 0.0, MASKED)
        return {
            "keys": self.keys_of(memory),
            "values": self.values(memory),
            "memory_mask": mask.to(memory.dtype),
        }

    def forward(self, hidden: Tensor, context: Context) -> Tensor:
        """Decoder outputs [B, T, H] to attentional outputs [B, T, H]."""
        scores = self.score(hidden, context["keys"])
        weights = torch.softmax(scores + context["memory_mask"][:, None, :], dim=-1)
        return torch.tanh(self.mix(hidden) + torch.matmul(weights, context["values"]))

    @abstractmethod
    def keys_of(self, memory: Tensor) -> Tensor:
        """Keys [B, M, H] of memory [B, M, E]."""

    @abstractmethod
    def score(self, hidden: Tensor, keys: Tensor) -> Tensor:
        """Scores [B, T, M] of hidden [B, T, H] against keys [B, M, H]."""


class DotAttention(Attention):
    """score = h · memory (Luong et al. 2015); needs E = H."""

    def keys_of(self, memory: Tensor) -> Tensor:
        """The memory itself."""
        return memory

    def score(self, hidden: Tensor, keys: Tensor) -> Tensor:
        """Inner products [B, T, M]."""
        return torch.matmul(hidden, keys.transpose(1, 2))


class GeneralAttention(Attention):
    """score = h · (memory W_a) (Luong et al. 2015)."""

    def __init__(self, memory_size: int, hidden_size: int) -> None:
        super().__init__(memory_size, hidden_size)
        self.keys = nn.Linear(memory_size, hidden_size, bias=False)

    def keys_of(self, memory: Tensor) -> Tensor:
        """The memory, projected: [B, M, H]."""
        keys: Tensor = self.keys(memory)
        return keys

    def score(self, hidden: Tensor, keys: Tensor) -> Tensor:
        """Inner products [B, T, M]."""
        return torch.matmul(hidden, keys.transpose(1, 2))


class AdditiveAttention(Attention):
    """score = v · tanh(W_q h + memory W_k) (Bahdanau, Cho & Bengio 2015)."""

    def __init__(self, memory_size: int, hidden_size: int) -> None:
        super().__init__(memory_size, hidden_size)
        self.keys = nn.Linear(memory_size, hidden_size, bias=False)
        self.query = nn.Linear(hidden_size, hidden_size)
        self.energy = nn.Linear(hidden_size, 1, bias=False)

    def keys_of(self, memory: Tensor) -> Tensor:
        """The memory, projected: [B, M, H]."""
        keys: Tensor = self.keys(memory)
        return keys

    def score(self, hidden: Tensor, keys: Tensor) -> Tensor:
        """Energies of a small feed-forward network [B, T, M]."""
        energy = torch.tanh(self.query(hidden)[:, :, None, :] + keys[:, None, :, :])
        return torch.matmul(energy, self.energy.weight[0])


ATTENTIONS: dict[str, type[Attention]] = {
    "dot": DotAttention,
    "general": GeneralAttention,
    "additive": AdditiveAttention,
}
