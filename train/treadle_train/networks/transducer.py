"""A transducer: an encoder reads one sequence, a decoder writes another.

Notation: B batch, S source length (padded), T target length, M memory length (= S), V target
vocabulary size, H hidden size, C summary size (= H).
"""

from difflib import get_close_matches
from typing import Any

import torch
from torch import Tensor, nn

from treadle.errors import RecipeError
from treadle_train.cells.dropout import make_dropout
from treadle_train.cells.layer import State
from treadle_train.cells.stack import Stack
from treadle_train.networks.attention import ATTENTIONS, Attention
from treadle_train.networks.dropout import SymbolDropout
from treadle_train.networks.network import Context, Encoding, qualified, unqualified, zero_padding
from treadle_train.networks.ngrams import NgramEmbedding
from treadle_train.networks.summary import Summary

KINDS = (*ATTENTIONS, "fixed")


class Transducer(Encoding):
    """Bidirectional encoder (hidden_size / 2 each way), decoder with attention or a fixed summary.

    attention "dot", "general", "additive": the decoder starts from zeros and attends to what the
    encoder made of every source symbol (networks/attention.py). "fixed": it sees one vector that
    summarizes the source at every step and starts from it (networks/summary.py). source_ngrams: up
    to how many neighbouring symbols have a vector in the source (networks/ngrams.py).

    Raises RecipeError for an unknown attention, an odd hidden_size, an unknown cell or n-grams out
    of too many symbols.
    """

    task = "transduction"

    def __init__(
        self,
        source_vocabulary_size: int,
        target_vocabulary_size: int,
        embedding_size: int,
        hidden_size: int,
        encoder_layers: int = 2,
        decoder_layers: int = 1,
        cell: str = "lstm",
        attention: str = "general",
        dropout: float = 0.0,
        embedding_dropout: float | None = None,
        symbol_dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        *,
        variational_dropout: bool = False,
        residual: bool = False,
        layer_norm: bool = False,
        forget_bias: float = 0.0,
        source_ngrams: int = 1,
    ) -> None:
        super().__init__()
        _check(attention, hidden_size)
        self.kind = attention
        between: dict[str, Any] = {
            "dropout": dropout,
            "recurrent_dropout": recurrent_dropout,
            "variational_dropout": variational_dropout,
            "residual": residual,
            "layer_norm": layer_norm,
            "forget_bias": forget_bias,
        }
        self.source_embedding = nn.Embedding(source_vocabulary_size, embedding_size)
        self.source_ngrams: NgramEmbedding | None = None
        if source_ngrams > 1:
            self.source_ngrams = NgramEmbedding(
                source_vocabulary_size, embedding_size, source_ngrams
            )
        self.target_embedding = nn.Embedding(target_vocabulary_size, embedding_size)
        self.encoder = Stack(
            embedding_size, hidden_size // 2, encoder_layers, cell, bidirectional=True, **between
        )
        below = embedding_size + (hidden_size if attention == "fixed" else 0)
        self.decoder = Stack(below, hidden_size, decoder_layers, cell, **between)
        self.attention: Attention | None = None
        self.summary: Summary | None = None
        if attention == "fixed":
            self.summary = Summary(hidden_size, hidden_size, decoder_layers)
        else:
            self.attention = ATTENTIONS[attention](self.encoder.output_size, hidden_size)
        self.embedding_dropout = nn.Sequential(
            SymbolDropout(symbol_dropout),
            make_dropout(
                dropout if embedding_dropout is None else embedding_dropout,
                variational=variational_dropout,
            ),
        )
        self.dropout = make_dropout(dropout, variational=variational_dropout)
        self.output = nn.Linear(hidden_size, target_vocabulary_size)

    def embedding_readers(self) -> dict[str, str]:
        """One each for encoder and decoder, unless these read something beside it."""
        readers = {} if self.source_ngrams is not None else {"source_embedding": "encoder"}
        return readers if self.summary is not None else readers | {"target_embedding": "decoder"}

    def initial_state(self, batch_size: int) -> State:
        """Zeros float32 [B, H] for every state name."""
        return qualified("decoder", self.decoder.initial_state(batch_size))

    def encode(self, source: Tensor, source_lengths: Tensor) -> tuple[Context, State]:
        """Read source int64 [B, S] with source_lengths int64 [B]: (context, initial state).

        Context with attention: keys [B, M, H], values [B, M, H], memory_mask [B, M]; with
        "fixed": summary [B, C]. The initial state holds what starts from the encoder, the
        decoder's hidden states with "fixed"; every state that it does not name starts from zeros.
        """
        x = self.source_embedding(source)
        if self.source_ngrams is not None:
            x = x + self.source_ngrams(source, source_lengths)
        x = self.embedding_dropout(x)
        start = self.encoder.initial_state(source.shape[0])
        memory, end = self.encoder.unroll(x, start, source_lengths)
        if self.summary is None:
            return self._attention().context(memory, source_lengths), {}
        last = len(self.encoder.layers) - 1
        ends = [end[f"{last}.hidden"], end[f"{last}.reverse.hidden"]]
        summary, hidden = self.summary(torch.cat(ends, dim=-1))
        return {"summary": summary}, {
            f"decoder.{index}.hidden": value for index, value in enumerate(hidden)
        }

    def step(self, token: Tensor, state: State, context: Context) -> tuple[Tensor, State]:
        """One time step: token int64 [B] to (logits [B, V] of the next symbol, next state)."""
        x = self.embedding_dropout(self.target_embedding(token))
        if self.summary is not None:
            x = torch.cat([x, context["summary"]], dim=-1)
        hidden, end = self.decoder.step(x, unqualified("decoder", state))
        logits = self._logits(hidden[:, None, :], context)[:, 0, :]
        return logits, qualified("decoder", end)

    def sequence(
        self, token: Tensor, lengths: Tensor | None, state: State, context: Context
    ) -> tuple[Tensor, State]:
        """Forced decoding: token int64 [B, T] to (logits [B, T, V], state at each row's length).

        lengths int64 [B], None where all rows are full. Logits are zero where padded.
        """
        x = self.embedding_dropout(self.target_embedding(token))
        if self.summary is not None:
            summary = context["summary"][:, None, :].expand(-1, token.shape[1], -1)
            x = torch.cat([x, summary], dim=-1)
        hidden, end = self.decoder.unroll(x, unqualified("decoder", state), lengths)
        return zero_padding(self._logits(hidden, context), lengths), qualified("decoder", end)

    def _logits(self, hidden: Tensor, context: Context) -> Tensor:
        """Decoder outputs [B, T, H] to logits [B, T, V]."""
        if self.summary is None:
            hidden = self._attention()(hidden, context)
        logits: Tensor = self.output(self.dropout(hidden))
        return logits

    def _attention(self) -> Attention:
        if self.attention is None:
            raise RecipeError(f"A transducer with attention={self.kind!r} attends to nothing.")
        return self.attention


def _check(attention: str, hidden_size: int) -> None:
    if attention not in KINDS:
        near = get_close_matches(attention, KINDS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"choose one of {', '.join(KINDS)}."
        raise RecipeError(f"There is no attention {attention!r}; {hint}")
    if hidden_size % 2:
        raise RecipeError(
            f"hidden_size is {hidden_size}, but the encoder takes half of it each way: "
            "choose an even number (a multiple of 16 runs fastest on a device)."
        )
