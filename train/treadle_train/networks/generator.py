"""A generator: one label, or one vector, becomes a sequence of symbols.

Notation: B batch, T time, F numbers of a vector, C size of the condition, V vocabulary size, H
hidden size.
"""

from typing import Any

import torch
from torch import Tensor, nn

from treadle.manifest import Tensor as Port
from treadle_train.cells.dropout import make_dropout
from treadle_train.cells.layer import State
from treadle_train.cells.stack import Stack
from treadle_train.networks.dropout import SymbolDropout
from treadle_train.networks.frames import Normalization
from treadle_train.networks.network import (
    Context,
    Encoding,
    qualified,
    unqualified,
    zero_padding,
)


class Generator(Encoding):
    """One to many: condition = tanh(what is given);  h_0 = tanh(V condition + c), in every layer.

    What is given is a row of an embedding for a label, or U vector + d for a vector, normalized.
    condition_at "start": the condition is seen in h_0 alone, as in Vinyals et al., "Show and tell",
    2015. "every-step": also beside every symbol that is read, so that nothing has to remember it
    for hundreds of steps.

    labels: how many; None where vectors of `features` numbers are given.
    """

    task = "generation"

    def __init__(
        self,
        labels: int | None,
        symbols: int,
        embedding_size: int,
        hidden_size: int,
        layers: int = 1,
        cell: str = "lstm",
        condition_size: int = 32,
        condition_at: str = "every-step",
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
        self.every_step = condition_at == "every-step"
        self.features, self.layers = features, layers
        self.normalization: Normalization | None = None
        self.condition: nn.Module
        if labels is None:
            self.normalization = Normalization(features)
            self.condition = nn.Linear(features, condition_size)
        else:
            self.condition = nn.Embedding(labels, condition_size)
        self.start = nn.Linear(condition_size, layers * hidden_size)
        self.embedding = nn.Embedding(symbols, embedding_size)
        between: dict[str, Any] = {
            "dropout": dropout,
            "recurrent_dropout": recurrent_dropout,
            "variational_dropout": variational_dropout,
            "residual": residual,
            "layer_norm": layer_norm,
            "forget_bias": forget_bias,
        }
        below = embedding_size + condition_size * self.every_step
        self.recurrent = Stack(below, hidden_size, layers, cell, **between)
        self.embedding_dropout = nn.Sequential(
            SymbolDropout(symbol_dropout),
            make_dropout(embedding_dropout, variational=variational_dropout),
        )
        self.dropout = make_dropout(dropout, variational=variational_dropout)
        self.output = nn.Linear(hidden_size, symbols)

    @property
    def source(self) -> Port:
        """A label or a vector is a source of one step."""
        if self.normalization is None:
            return super().source
        return Port("source", "float32", ("batch", "source", self.features))

    def embedding_readers(self) -> dict[str, str]:
        """The first layer reads the embedding, alone where the condition is not beside it."""
        return {} if self.every_step else {"embedding": "recurrent"}

    def initial_state(self, batch_size: int) -> State:
        """Zeros float32 [B, H] for every state name."""
        return qualified("recurrent", self.recurrent.initial_state(batch_size))

    def encode(self, source: Tensor, source_lengths: Tensor) -> tuple[Context, State]:
        """What is given, int64 [B, 1] or float32 [B, 1, F], to (context, initial state).

        The context holds condition [B, C], nothing with "start"; the initial state the hidden state
        of every layer. All lengths are 1; of a padded source the first step is read.
        """
        del source_lengths
        return self.given(source[:, 0])

    def given(self, given: Tensor) -> tuple[Context, State]:
        """As `encode`, of labels int64 [B] or vectors float32 [B, F]."""
        if self.normalization is not None:
            given = self.normalization(given)
        condition = torch.tanh(self.condition(given))
        hidden = torch.tanh(self.start(condition)).chunk(self.layers, dim=-1)
        initial = {f"recurrent.{index}.hidden": value for index, value in enumerate(hidden)}
        return {"condition": condition} if self.every_step else {}, initial

    def step(
        self, token: Tensor, state: State, context: Context | None = None
    ) -> tuple[Tensor, State]:
        """One time step: token int64 [B] to (logits [B, V] of the next symbol, next state)."""
        x = self.embedding_dropout(self.embedding(token))
        if context:
            x = torch.cat([x, context["condition"]], dim=-1)
        hidden, end = self.recurrent.step(x, unqualified("recurrent", state))
        logits: Tensor = self.output(self.dropout(hidden))
        return logits, qualified("recurrent", end)

    def sequence(
        self, token: Tensor, lengths: Tensor | None, state: State, context: Context | None = None
    ) -> tuple[Tensor, State]:
        """Symbols that are given: token int64 [B, T] to (logits [B, T, V], state at the lengths).

        lengths int64 [B], None where all rows are full. Logits are zero where padded.
        """
        x = self.embedding_dropout(self.embedding(token))
        if context:
            condition = context["condition"][:, None, :].expand(-1, token.shape[1], -1)
            x = torch.cat([x, condition], dim=-1)
        hidden, end = self.recurrent.unroll(x, unqualified("recurrent", state), lengths)
        logits = self.output(self.dropout(hidden))
        return zero_padding(logits, lengths), qualified("recurrent", end)
