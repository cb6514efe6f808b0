"""A recurrent tagger: one tag for every step of a sequence.

Huang, Xu & Yu, "Bidirectional LSTM-CRF models for sequence tagging", 2015.

Notation: B batch, T time, N tags.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from treadle.decoding.viterbi import TagScores, best_tags
from treadle.errors import RecipeError
from treadle.manifest import Tensor as Port
from treadle_train.cells.dropout import make_dropout
from treadle_train.cells.layer import State
from treadle_train.cells.stack import Stack
from treadle_train.networks.characters import CharacterFeatures
from treadle_train.networks.crf import ConditionalRandomField
from treadle_train.networks.dropout import SymbolDropout
from treadle_train.networks.network import Network, qualified, unqualified, zero_padding


def alphabet_size(symbols: Sequence[str]) -> int:
    """How many symbols of a tagger's vocabulary are special ones or characters: the first ones."""
    return 2 + sum(len(symbol) == 1 for symbol in symbols)


class Tagger(Network):
    """logits = W · dropout(recurrent(dropout(embedding(token)))) + b, at every step.

    With `characters`, of which ids below `alphabet` are some, what a token looks like
    (networks/characters.py) stands beside its embedding.
    With `crf` the logits are emissions of a conditional random field (networks/crf.py), whose other
    scores are in no graph: a bundle carries them beside. One that is `bidirectional` has
    hidden_size / 2 units each way and no step: it reads whole sequences.

    Raises RecipeError for an odd hidden_size in both directions, or an unknown cell.
    """

    task = "tagging"

    def __init__(
        self,
        symbols: int,
        tags: int,
        embedding_size: int,
        hidden_size: int,
        layers: int = 1,
        cell: str = "lstm",
        bidirectional: bool = False,
        crf: bool = False,
        characters: int = 0,
        character_size: int = 32,
        character_features: int = 64,
        dropout: float = 0.0,
        embedding_dropout: float = 0.0,
        symbol_dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        *,
        alphabet: int = 2,
        variational_dropout: bool = False,
        residual: bool = False,
        layer_norm: bool = False,
        forget_bias: float = 0.0,
    ) -> None:
        super().__init__()
        if bidirectional and hidden_size % 2:
            raise RecipeError(
                f"hidden_size is {hidden_size}, but a tagger in both directions takes half of it "
                "each way: choose an even number."
            )
        self.bidirectional = bidirectional
        self.embedding = nn.Embedding(symbols, embedding_size)
        # Small, as most words are rare: theirs would stay noise that drowns the others.
        nn.init.uniform_(self.embedding.weight, -(embedding_size**-0.5), embedding_size**-0.5)
        self.columns = characters + 3 if characters else 0
        self.characters = (
            CharacterFeatures(alphabet, character_size, character_features) if characters else None
        )
        self.recurrent = Stack(
            embedding_size + (character_features if characters else 0),
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
        self.symbol_dropout = SymbolDropout(symbol_dropout)
        self.embedding_dropout = make_dropout(embedding_dropout, variational=variational_dropout)
        self.dropout = make_dropout(dropout, variational=variational_dropout)
        self.output = nn.Linear(hidden_size, tags)
        self.crf = ConditionalRandomField(tags) if crf else None

    @property
    def graphs(self) -> tuple[str, ...]:
        """No step where the end is needed for the beginning."""
        return ("sequence",) if self.bidirectional else ("step", "sequence")

    @property
    def read(self) -> Port:
        """The id of a token; with characters, its id and theirs, as `TokenReading` gives them."""
        return Port("token", "int64", ("batch", self.columns)) if self.columns else super().read

    def embedding_readers(self) -> dict[str, str]:
        """The embedding is read by the first layer, unless characters stand beside it."""
        return {} if self.characters is not None else {"embedding": "recurrent"}

    def initial_state(self, batch_size: int) -> State:
        """Zeros float32 [B, H] for every state name; none where nothing is carried."""
        if self.bidirectional:
            return {}
        return qualified("recurrent", self.recurrent.initial_state(batch_size))

    def emissions(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Logits [B, T, N] of whole sequences x int64 [B, T], zero where padded."""
        start = self.recurrent.initial_state(x.shape[0])
        hidden, _ = self.recurrent.unroll(self._embed(x), start, lengths)
        return zero_padding(self._logits(hidden), lengths)

    @torch.no_grad()
    def tag(self, x: Tensor, lengths: Tensor) -> Tensor:
        """The best tags int64 [B, T] of whole sequences; where padded they mean nothing."""
        logits = self.emissions(x, lengths)
        if self.crf is None:
            return logits.argmax(-1)
        names = ("transitions", "first", "last")
        scores = TagScores(*(self.crf.get_parameter(name).cpu().numpy() for name in names))
        best, _ = best_tags(logits.float().cpu().numpy(), lengths.cpu().numpy(), scores)
        return torch.from_numpy(best)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """One time step: x int64 [B] to (logits [B, N], next state)."""
        hidden, end = self.recurrent.step(self._embed(x), unqualified("recurrent", state))
        return self._logits(hidden), qualified("recurrent", end)

    def sequence(self, x: Tensor, lengths: Tensor, state: State) -> tuple[Tensor, State]:
        """All time steps: x int64 [B, T], lengths int64 [B].

        To (logits [B, T, N], zero where padded, state at each row's length); in both directions to
        (logits, nothing).
        """
        if self.bidirectional:
            return self.emissions(x, lengths), {}
        start = unqualified("recurrent", state)
        hidden, end = self.recurrent.unroll(self._embed(x), start, lengths)
        return zero_padding(self._logits(hidden), lengths), qualified("recurrent", end)

    def _embed(self, x: Tensor) -> Tensor:
        """What the first layer reads of x int64 [...], or [..., columns]."""
        words = x if self.characters is None else x[..., 0]
        embedded: Tensor = self.symbol_dropout(self.embedding(words))
        if self.characters is not None:
            embedded = torch.cat([embedded, self.characters(x[..., 1:])], dim=-1)
        dropped: Tensor = self.embedding_dropout(embedded)
        return dropped

    def _logits(self, hidden: Tensor) -> Tensor:
        logits: Tensor = self.output(self.dropout(hidden))
        return logits
