"""A recurrent tagger: one tag for every step of a sequence.

Huang, Xu & Yu, "Bidirectional LSTM-CRF models for sequence tagging", 2015.

Notation: B batch, T time, N tags.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from treadle.decoding.viterbi import TagScores, best_tags
from treadle.delay import Delay
from treadle.errors import RecipeError
from treadle.manifest import Tensor as Port
from treadle_train.cells.dropout import make_dropout
from treadle_train.cells.latency import LatencyControlledStack
from treadle_train.cells.layer import State
from treadle_train.cells.ragged import valid_positions
from treadle_train.cells.stack import Stack
from treadle_train.networks.characters import CharacterFeatures
from treadle_train.networks.crf import ConditionalRandomField
from treadle_train.networks.dropout import SymbolDropout
from treadle_train.networks.lookahead import Lookahead
from treadle_train.networks.network import Network, qualified, unqualified, zero_padding
from treadle_train.sections.network import check_delay

_AHEAD = "lookahead"
"""Under which name the look-ahead's state is carried."""


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

    What bounds the delay of a tag (`treadle.delay.Delay`): in one direction `lookahead` mixes what
    the layers say of so many tokens behind one into its logits (networks/lookahead.py), which a
    step gives so many steps later; the end of a sequence is followed by steps of padding. In both
    directions `chunk` makes the layers latency-controlled (cells/latency.py), with so many tokens
    in a chunk and `lookahead` behind it; a step then reads a window and answers its chunk.

    Raises RecipeError for an odd hidden_size in both directions, an unknown cell, and a `chunk` or
    `lookahead` that does not go with the rest.
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
        chunk: int = 0,
        lookahead: int = 0,
        *,
        alphabet: int = 2,
        variational_dropout: bool = False,
        residual: bool = False,
        layer_norm: bool = False,
        forget_bias: float = 0.0,
    ) -> None:
        super().__init__()
        check_delay(bidirectional=bidirectional, crf=crf, chunk=chunk, lookahead=lookahead)
        if bidirectional and hidden_size % 2:
            raise RecipeError(
                f"hidden_size is {hidden_size}, but a tagger in both directions takes half of it "
                "each way: choose an even number."
            )
        self.whole = bidirectional and not chunk
        self.delay = Delay(chunk - 1 + lookahead if chunk else lookahead, chunk)
        self.looped = bool(chunk)
        self.embedding = nn.Embedding(symbols, embedding_size)
        # Small, as most words are rare: theirs would stay noise that drowns the others.
        nn.init.uniform_(self.embedding.weight, -(embedding_size**-0.5), embedding_size**-0.5)
        self.columns = characters + 3 if characters else 0
        self.characters = (
            CharacterFeatures(alphabet, character_size, character_features) if characters else None
        )
        size = embedding_size + (character_features if characters else 0)
        units = hidden_size // 2 if bidirectional else hidden_size
        dropouts = (dropout, recurrent_dropout)
        self.recurrent: Stack | LatencyControlledStack = (
            LatencyControlledStack(size, units, layers, cell, chunk, lookahead, *dropouts)
            if chunk
            else Stack(
                *(size, units, layers, cell, bidirectional, *dropouts),
                variational_dropout=variational_dropout,
                residual=residual,
                layer_norm=layer_norm,
                forget_bias=forget_bias,
            )
        )
        late = 0 if chunk else lookahead
        self.lookahead = Lookahead(self.recurrent.output_size, late) if late else None
        self.symbol_dropout = SymbolDropout(symbol_dropout)
        self.embedding_dropout = make_dropout(embedding_dropout, variational=variational_dropout)
        self.dropout = make_dropout(dropout, variational=variational_dropout)
        self.output = nn.Linear(hidden_size, tags)
        self.crf = ConditionalRandomField(tags) if crf else None

    @property
    def graphs(self) -> tuple[str, ...]:
        """No step where the end is needed for the beginning."""
        return ("sequence",) if self.whole else ("step", "sequence")

    @property
    def read(self) -> Port:
        """The id of a token; with characters, its id and theirs, as `TokenReading` gives them.

        Those of the tokens of a window lie side by side.
        """
        if not (self.columns or self.delay.chunk):
            return super().read
        return Port("token", "int64", ("batch", (self.columns or 1) * self.delay.window))

    @property
    def answers(self) -> int:
        """Of how many tokens one step gives the logits."""
        return self.delay.answers

    def embedding_readers(self) -> dict[str, str]:
        """The embedding is read by the first layer, unless something stands between."""
        apart = self.characters is not None or self.delay.chunk
        return {} if apart else {"embedding": "recurrent"}

    def initial_state(self, batch_size: int) -> State:
        """Zeros float32 [B, H] for every state name; none where nothing is carried."""
        if self.whole:
            return {}
        state = qualified("recurrent", self.recurrent.initial_state(batch_size))
        if self.lookahead is not None:
            state |= qualified(_AHEAD, self.lookahead.initial_state(batch_size))
        return state

    def emissions(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Logits [B, T, N] of whole sequences x int64 [B, T], zero where padded.

        They stand where their tokens do, whatever the delay.
        """
        start = self.recurrent.initial_state(x.shape[0])
        if self.lookahead is None:
            hidden, _ = self.recurrent.unroll(self._embed(x), start, lengths)
            return zero_padding(self._logits(hidden), lengths)
        late, carried = self.delay.steps, self.lookahead.initial_state(x.shape[0])
        read, steps = self._embed(_padded(x, lengths, late)), lengths + late
        hidden, _ = self.recurrent.unroll(read, start, steps)
        mixed, _ = self.lookahead.sequence(hidden, steps, carried)
        return zero_padding(self._logits(mixed[:, late:]), lengths)

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
        """One time step: what `read` says, of B rows, to (logits [B, N], next state).

        The logits of a chunk's tokens lie side by side, [B, C * N].
        """
        before = unqualified("recurrent", state)
        if isinstance(self.recurrent, Stack):
            hidden, end = self.recurrent.step(self._embed(x), before)
            after = qualified("recurrent", end)
            if self.lookahead is not None:
                hidden, carried = self.lookahead.step(hidden, unqualified(_AHEAD, state))
                after |= qualified(_AHEAD, carried)
            return self._logits(hidden), after
        tokens = x.reshape(x.shape[0], self.delay.window, *[self.columns] * bool(self.columns))
        known = (tokens if self.characters is None else tokens[..., 0]) != 0
        place = torch.arange(1, self.delay.window + 1, device=x.device)
        lengths = (known * place).amax(dim=1)  # the id 0 is padding
        hidden, end = self.recurrent.window(self._embed(tokens), lengths, before)
        return self._logits(hidden).flatten(1), qualified("recurrent", end)

    def sequence(self, x: Tensor, lengths: Tensor, state: State) -> tuple[Tensor, State]:
        """All time steps: what they read, int64 [B, T] or [B, T, …], lengths int64 [B].

        To (logits of the steps, zero where padded, state at each row's length); where whole
        sequences are read to (logits, nothing).
        """
        if self.whole:
            return self.emissions(x, lengths), {}
        if isinstance(self.recurrent, LatencyControlledStack):
            return self._windows(x, lengths, state)
        before = unqualified("recurrent", state)
        hidden, end = self.recurrent.unroll(self._embed(x), before, lengths)
        after = qualified("recurrent", end)
        if self.lookahead is not None:
            hidden, kept = self.lookahead.sequence(hidden, lengths, unqualified(_AHEAD, state))
            after |= qualified(_AHEAD, kept)
        return zero_padding(self._logits(hidden), lengths), after

    def _windows(self, x: Tensor, lengths: Tensor, state: State) -> tuple[Tensor, State]:
        """Window after window, x int64 [B, T, W * columns]."""
        valid, outputs = valid_positions(lengths, x.shape[1]), []
        for time in range(x.shape[1]):
            inside = valid[:, time, None]
            logits, after = self.step(x[:, time], state)
            outputs.append(torch.where(inside, logits, 0.0))
            state = {name: torch.where(inside, after[name], state[name]) for name in state}
        return torch.stack(outputs, dim=1), state

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


def _padded(x: Tensor, lengths: Tensor, steps: int) -> Tensor:
    """Ids [B, T, …] with `steps` of padding behind each row's length: [B, T + steps, …]."""
    inside = valid_positions(lengths, x.shape[1]).reshape(*x.shape[:2], *[1] * (x.ndim - 2))
    return functional.pad(x * inside, (*[0, 0] * (x.ndim - 2), 0, steps))
