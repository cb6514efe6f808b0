"""What transducers of speech share: an encoder that reads frames as they come, and a likelihood.

Notation: B batch, T time, F numbers of a frame, K frames read at a time, U symbols of a transcript,
V symbols with the blank.
"""

from abc import abstractmethod
from typing import ClassVar

from torch import Tensor, nn

from treadle.manifest import Tensor as Port
from treadle_train.cells.layer import State
from treadle_train.cells.stack import Stack
from treadle_train.networks.frames import Normalization
from treadle_train.networks.network import Network, qualified, unqualified, zero_padding

BLANK = 0
"""The id of the blank, in every vocabulary of a transducer of speech."""


class SpeechTransducer(Network):
    """y_t = W · dropout(recurrent(normalized(x_t))) + b, in one direction: it can stream.

    x_t are the numbers of K frames one after the other, K * F of them, so a step is K frames of
    sound. Final classes say what y is, and how likely it makes a transcript.
    """

    task = "speech-transduction"
    kind: ClassVar[str]

    def __init__(
        self,
        features: int,
        outputs: int,
        *,
        frames: int,
        hidden_size: int,
        layers: int,
        cell: str,
        dropout: float,
        recurrent_dropout: float,
    ) -> None:
        super().__init__()
        self.features = features * frames
        self.normalization = Normalization(self.features)
        self.recurrent = Stack(
            self.features,
            hidden_size,
            layers,
            cell,
            dropout=dropout,
            recurrent_dropout=recurrent_dropout,
        )
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(hidden_size, outputs)

    @property
    def read(self) -> Port:
        """The frames of one step, one after the other."""
        return Port("frames", "float32", ("batch", self.features))

    def initial_state(self, batch_size: int) -> State:
        """Zeros float32 [B, H] for every state name."""
        return qualified("recurrent", self.recurrent.initial_state(batch_size))

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """One step: x float32 [B, K * F] to (y [B, outputs], next state)."""
        hidden, end = self.recurrent.step(self.normalization(x), unqualified("recurrent", state))
        return self._put_out(hidden), qualified("recurrent", end)

    def sequence(self, x: Tensor, lengths: Tensor | None, state: State) -> tuple[Tensor, State]:
        """All steps: x float32 [B, T, K * F], lengths int64 [B] (None: all rows are full).

        To (y [B, T, outputs], zero where padded, state at each row's length).
        """
        hidden, end = self.recurrent.unroll(
            self.normalization(x), unqualified("recurrent", state), lengths
        )
        return zero_padding(self._put_out(hidden), lengths), qualified("recurrent", end)

    def encode(self, x: Tensor, lengths: Tensor) -> Tensor:
        """The outputs y [B, T, outputs] of whole utterances, from the initial state."""
        return self.sequence(x, lengths, self.initial_state(x.shape[0]))[0]

    @abstractmethod
    def nats(self, x: Tensor, lengths: Tensor, symbols: Tensor, counts: Tensor) -> Tensor:
        """How unlikely the transcripts are: -log of all their alignments' probability, [B].

        x float32 [B, T, K * F], lengths int64 [B] from 1; symbols int64 [B, U], counts int64 [B] of
        each row's symbols: what lies behind either is not looked at.
        """

    def _put_out(self, hidden: Tensor) -> Tensor:
        made: Tensor = self.output(self.dropout(hidden))
        return made
