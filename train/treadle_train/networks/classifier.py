"""A recurrent classifier: one label for a whole sequence.

Notation: B batch, T time, F features of a frame, C classes, H size of a step's output.
"""

import torch
from torch import Tensor, nn

from treadle.errors import RecipeError
from treadle.manifest import Tensor as Port
from treadle_train.cells.dropout import make_dropout
from treadle_train.cells.layer import State
from treadle_train.cells.ragged import valid_positions
from treadle_train.cells.stack import Stack
from treadle_train.networks.dropout import SymbolDropout
from treadle_train.networks.frames import Normalization
from treadle_train.networks.network import Network, qualified, unqualified
from treadle_train.networks.pooling import make_pooling


class Classifier(Network):
    """logits = W · dropout(pooling(recurrent(dropout(embedding(token))))) + b.

    symbols: size of the vocabulary; None where it reads frames of `features` numbers, normalized in
    place of the embedding. pooling "last", "max", "mean" or "attention" (networks/pooling.py). One
    that is `bidirectional` has hidden_size / 2 units each way and no step: it reads whole
    sequences.

    Raises RecipeError for an odd hidden_size in both directions, or an unknown cell.
    """

    task = "classification"

    def __init__(
        self,
        symbols: int | None,
        classes: int,
        embedding_size: int,
        hidden_size: int,
        layers: int = 1,
        cell: str = "gru",
        bidirectional: bool = False,
        pooling: str = "max",
        features: int = 0,
        dropout: float = 0.0,
        embedding_dropout: float = 0.0,
        symbol_dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        *,
        variational_dropout: bool = False,
        residual: bool = False,
        layer_norm: bool = False,
        forget_bias: float = 0.0,
    ) -> None:
        super().__init__()
        if bidirectional and hidden_size % 2:
            raise RecipeError(
                f"hidden_size is {hidden_size}, but a classifier in both directions takes half of "
                "it each way: choose an even number."
            )
        self.bidirectional, self.features = bidirectional, features
        self.timed = not bidirectional
        self.embedding: nn.Module = (
            Normalization(features)
            if symbols is None
            else _small(nn.Embedding(symbols, embedding_size))
        )
        self.recurrent = Stack(
            features if symbols is None else embedding_size,
            hidden_size // 2 if bidirectional else hidden_size,
            layers,
            cell,
            bidirectional=bidirectional,
            dropout=dropout,
            recurrent_dropout=recurrent_dropout,
            variational_dropout=variational_dropout,
            residual=residual,
            layer_norm=layer_norm,
            forget_bias=forget_bias,
        )
        self.pooling = make_pooling(pooling, hidden_size, hidden_size // 2 * bidirectional)
        self.looped = bool(self.pooling.sizes) and not bidirectional
        self.symbol_dropout = SymbolDropout(symbol_dropout)
        self.embedding_dropout = make_dropout(embedding_dropout, variational=variational_dropout)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(hidden_size, classes)

    @property
    def graphs(self) -> tuple[str, ...]:
        """No step where the end is needed for the beginning."""
        return ("sequence",) if self.bidirectional else ("step", "sequence")

    @property
    def read(self) -> Port:
        """Ids of symbols, or frames."""
        if isinstance(self.embedding, Normalization):
            return Port("frame", "float32", ("batch", self.features))
        return super().read

    def embedding_readers(self) -> dict[str, str]:
        """The embedding, where there is one, is read by the first layer."""
        return {} if isinstance(self.embedding, Normalization) else {"embedding": "recurrent"}

    def initial_state(self, batch_size: int) -> State:
        """Zeros float32 [B, H] for every state name; none where nothing is carried."""
        if self.bidirectional:
            return {}
        pooled = self.pooling.initial_state(self.output.weight, batch_size)
        recurrent = self.recurrent.initial_state(batch_size)
        return qualified("recurrent", recurrent) | qualified("pooling", pooled)

    def classify(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Logits [B, C] of whole sequences: x int64 [B, T] or float32 [B, T, F], lengths from 1."""
        hidden, _ = self._unrolled(x, lengths, self.recurrent.initial_state(x.shape[0]))
        return self._logits(self.pooling.whole(hidden, lengths))

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """One time step: x int64 [B] or float32 [B, F] to (logits [B, C] so far, next state)."""
        hidden, end = self.recurrent.step(self._embed(x), unqualified("recurrent", state))
        pooled, after = self.pooling.step(hidden, unqualified("pooling", state))
        return self._logits(pooled), qualified("recurrent", end) | qualified("pooling", after)

    def sequence(self, x: Tensor, lengths: Tensor, state: State) -> tuple[Tensor, State]:
        """All time steps: x int64 [B, T] or float32 [B, T, F], lengths int64 [B].

        To (logits so far [B, T, C], zero where padded, state at each row's length); of a classifier
        in both directions to (logits [B, C], nothing).
        """
        if self.bidirectional:
            return self.classify(x, lengths), {}
        hidden, end = self._unrolled(x, lengths, unqualified("recurrent", state))
        valid = valid_positions(lengths, x.shape[1])[:, :, None]
        if not self.looped:
            logits = torch.where(valid, self._logits(hidden), 0.0)
            return logits, qualified("recurrent", end)
        pooled, kept = [], unqualified("pooling", state)
        for time in range(x.shape[1]):
            row, after = self.pooling.step(hidden[:, time], kept)
            kept = {n: torch.where(valid[:, time], after[n], kept[n]) for n in kept}
            pooled.append(row)
        logits = torch.where(valid, self._logits(torch.stack(pooled, dim=1)), 0.0)
        return logits, qualified("recurrent", end) | qualified("pooling", kept)

    def _unrolled(self, x: Tensor, lengths: Tensor, state: State) -> tuple[Tensor, State]:
        return self.recurrent.unroll(self._embed(x), state, lengths)

    def _embed(self, x: Tensor) -> Tensor:
        embedded: Tensor = self.embedding(x)
        if isinstance(self.embedding, nn.Embedding):
            embedded = self.symbol_dropout(embedded)
        dropped: Tensor = self.embedding_dropout(embedded)
        return dropped

    def _logits(self, pooled: Tensor) -> Tensor:
        logits: Tensor = self.output(self.dropout(pooled))
        return logits


def _small(embedding: nn.Embedding) -> nn.Embedding:
    """An embedding that begins uniform in ±1/√E.

    Most words are rare: with numbers of the usual size theirs stay noise that drowns the others.
    """
    bound = embedding.embedding_dim**-0.5
    nn.init.uniform_(embedding.weight, -bound, bound)
    return embedding
