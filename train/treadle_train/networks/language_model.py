"""A recurrent language model: the next symbol from all before it (Mikolov et al. 2010).

Notation: B batch, T time, V vocabulary size.
"""

from torch import Tensor, nn

from treadle_train.cells.layer import State
from treadle_train.cells.stack import Stack
from treadle_train.networks.network import Network, qualified, unqualified, zero_padding


class LanguageModel(Network):
    """logits = W · dropout(recurrent(dropout(embedding(token)))) + b."""

    task = "language-modelling"

    def __init__(
        self,
        vocabulary_size: int,
        embedding_size: int,
        hidden_size: int,
        layers: int = 1,
        cell: str = "lstm",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary_size, embedding_size)
        self.recurrent = Stack(embedding_size, hidden_size, layers, cell, dropout=dropout)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(hidden_size, vocabulary_size)

    def initial_state(self, batch_size: int) -> State:
        """Zeros float32 [B, H] for every state name."""
        return qualified("recurrent", self.recurrent.initial_state(batch_size))

    def step(self, token: Tensor, state: State) -> tuple[Tensor, State]:
        """One time step: token int64 [B] to (logits [B, V] of the next symbol, next state)."""
        x = self.dropout(self.embedding(token))
        x, end = self.recurrent.step(x, unqualified("recurrent", state))
        return self.output(self.dropout(x)), qualified("recurrent", end)

    def sequence(self, token: Tensor, lengths: Tensor | None, state: State) -> tuple[Tensor, State]:
        """All time steps: token int64 [B, T] to (logits [B, T, V], state at each row's length).

        lengths int64 [B], None where all rows are full. Logits are zero where padded.
        """
        x = self.dropout(self.embedding(token))
        x, end = self.recurrent.unroll(x, unqualified("recurrent", state), lengths)
        logits = zero_padding(self.output(self.dropout(x)), lengths)
        return logits, qualified("recurrent", end)
