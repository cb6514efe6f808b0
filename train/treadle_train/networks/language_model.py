"""A recurrent language model: the next symbol from all before it (Mikolov et al. 2010).

Notation: B batch, T time, V vocabulary size.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from treadle_train.cells.dropout import make_dropout
from treadle_train.cells.layer import State
from treadle_train.cells.stack import Stack
from treadle_train.networks.dropout import SymbolDropout
from treadle_train.networks.network import Network, qualified, unqualified, zero_padding
from treadle_train.sections.network import check_tied_sizes


class TiedOutput(nn.Module):
    """logits = E · x + b, where E [V, H] is the embedding's own matrix (Press & Wolf 2017).

    It holds the bias b [V] alone: a matrix that is a parameter once is also stored once.
    """

    def __init__(self, embedding: nn.Embedding) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(embedding.num_embeddings))
        # As small as an output layer begins: an embedding's usual ones would make logits of tens.
        bound = embedding.embedding_dim**-0.5
        nn.init.uniform_(embedding.weight, -bound, bound)

    def forward(self, x: Tensor, embedding: nn.Embedding) -> Tensor:
        """Logits [..., V] of x [..., H]."""
        return linear(x, embedding.weight, self.bias)


class LanguageModel(Network):
    """logits = W · dropout(recurrent(dropout(embedding(token)))) + b.

    With `tied_embedding` W is the embedding's matrix, and embedding_size must be hidden_size.
    Raises RecipeError where it is not.
    """

    task = "language-modelling"

    def __init__(
        self,
        vocabulary_size: int,
        embedding_size: int,
        hidden_size: int,
        layers: int = 1,
        cell: str = "lstm",
        dropout: float = 0.0,
        symbol_dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        tied_embedding: bool = False,
        *,
        variational_dropout: bool = False,
        residual: bool = False,
        layer_norm: bool = False,
        forget_bias: float = 0.0,
    ) -> None:
        super().__init__()
        if tied_embedding:
            check_tied_sizes(embedding_size, hidden_size)
        self.embedding = nn.Embedding(vocabulary_size, embedding_size)
        self.recurrent = Stack(
            embedding_size,
            hidden_size,
            layers,
            cell,
            dropout=dropout,
            recurrent_dropout=recurrent_dropout,
            variational_dropout=variational_dropout,
            residual=residual,
            layer_norm=layer_norm,
            forget_bias=forget_bias,
        )
        self.symbol_dropout = SymbolDropout(symbol_dropout)
        self.dropout = make_dropout(dropout, variational=variational_dropout)
        self.output: nn.Module = (
            TiedOutput(self.embedding)
            if tied_embedding
            else nn.Linear(hidden_size, vocabulary_size)
        )

    def embedding_readers(self) -> dict[str, str]:
        """The one embedding is read by the first layer."""
        return {"embedding": "recurrent"}

    def initial_state(self, batch_size: int) -> State:
        """Zeros float32 [B, H] for every state name."""
        return qualified("recurrent", self.recurrent.initial_state(batch_size))

    def step(self, token: Tensor, state: State) -> tuple[Tensor, State]:
        """One time step: token int64 [B] to (logits [B, V] of the next symbol, next state)."""
        x = self._embed(token)
        x, end = self.recurrent.step(x, unqualified("recurrent", state))
        return self._logits(x), qualified("recurrent", end)

    def sequence(self, token: Tensor, lengths: Tensor | None, state: State) -> tuple[Tensor, State]:
        """All time steps: token int64 [B, T] to (logits [B, T, V], state at each row's length).

        lengths int64 [B], None where all rows are full. Logits are zero where padded.
        """
        x = self._embed(token)
        x, end = self.recurrent.unroll(x, unqualified("recurrent", state), lengths)
        return zero_padding(self._logits(x), lengths), qualified("recurrent", end)

    def _embed(self, token: Tensor) -> Tensor:
        x: Tensor = self.dropout(self.symbol_dropout(self.embedding(token)))
        return x

    def _logits(self, x: Tensor) -> Tensor:
        tied = (self.embedding,) if isinstance(self.output, TiedOutput) else ()
        logits: Tensor = self.output(self.dropout(x), *tied)
        return logits
