"""A recurrent neural network transducer: an encoder, a predictor, and a joiner of both.

Graves, "Sequence transduction with recurrent neural networks", 2012; the joiner as Graves, Mohamed
& Hinton, "Speech recognition with deep recurrent neural networks", 2013.

Notation: B batch, T steps of the encoder, U symbols of a transcript, J joint size, V symbols with
the blank.
"""

import torch
from torch import Tensor, nn

from treadle.manifest import Tensor as Port
from treadle_train.cells.layer import State
from treadle_train.cells.stack import Stack
from treadle_train.networks.network import Network, qualified, unqualified, zero_padding
from treadle_train.networks.speech_transducer import BLANK, SpeechTransducer
from treadle_train.rnnt_loss import rnnt_nats


class RNNTPredictor(Network):
    """p_u = W · recurrent(embedding(symbol u)): what the symbols so far say of the next one.

    It reads the blank first.
    """

    task = "speech-transduction"

    def __init__(
        self, symbols: int, joint_size: int, embedding_size: int, hidden_size: int, cell: str
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(symbols, embedding_size)
        self.recurrent = Stack(embedding_size, hidden_size, 1, cell)
        self.output = nn.Linear(hidden_size, joint_size)

    @property
    def answer(self) -> Port:
        """What the joiner reads."""
        return Port("predicted", "float32", ("batch", self.output.out_features))

    def embedding_readers(self) -> dict[str, str]:
        """The embedding is read by the recurrent layer."""
        return {"embedding": "recurrent"}

    def initial_state(self, batch_size: int) -> State:
        """Zeros float32 [B, H] for every state name."""
        return qualified("recurrent", self.recurrent.initial_state(batch_size))

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """One symbol: x int64 [B] to (p [B, J], next state)."""
        hidden, end = self.recurrent.step(self.embedding(x), unqualified("recurrent", state))
        return self.output(hidden), qualified("recurrent", end)

    def sequence(self, x: Tensor, lengths: Tensor | None, state: State) -> tuple[Tensor, State]:
        """All symbols: x int64 [B, U], lengths int64 [B] (None: all rows are full).

        To (p [B, U, J], zero where padded, state at each row's length).
        """
        hidden, end = self.recurrent.unroll(
            self.embedding(x), unqualified("recurrent", state), lengths
        )
        return zero_padding(self.output(hidden), lengths), qualified("recurrent", end)


class Joiner(nn.Module):
    """logits = W · tanh(e + p) + b: the encoder's vector and the predictor's, [.., J] each."""

    def __init__(self, joint_size: int, symbols: int) -> None:
        super().__init__()
        self.output = nn.Linear(joint_size, symbols)

    def forward(self, encoded: Tensor, predicted: Tensor) -> Tensor:
        """Logits [.., V]; the two are broadcast."""
        logits: Tensor = self.output(torch.tanh(encoded + predicted))
        return logits


class RNNTransducer(SpeechTransducer):
    """The outputs are vectors e_t [.., J]; the joiner makes logits of them and the predictor's p_u.

    Then y(t, u) = softmax(joiner(e_t, p_u)) is the next symbol after t steps and u symbols, the
    blank being to read the next step.
    """

    kind = "rnn-t"

    def __init__(
        self,
        features: int,
        symbols: int,
        *,
        joint_size: int,
        embedding_size: int,
        predictor_size: int,
        frames: int,
        hidden_size: int,
        layers: int,
        cell: str,
        dropout: float,
        recurrent_dropout: float,
    ) -> None:
        super().__init__(
            features,
            joint_size,
            frames=frames,
            hidden_size=hidden_size,
            layers=layers,
            cell=cell,
            dropout=dropout,
            recurrent_dropout=recurrent_dropout,
        )
        self.predictor = RNNTPredictor(symbols, joint_size, embedding_size, predictor_size, cell)
        self.joiner = Joiner(joint_size, symbols)

    @property
    def graphs(self) -> tuple[str, ...]:
        """Those of the encoder, the predictor's step, and the joiner."""
        return (*super().graphs, "predictor", "joiner")

    @property
    def answer(self) -> Port:
        """What the joiner reads."""
        return Port("encoded", "float32", ("batch", self.output.out_features))

    def nats(self, x: Tensor, lengths: Tensor, symbols: Tensor, counts: Tensor) -> Tensor:
        """As the base has it."""
        encoded = self.encode(x, lengths)
        read = torch.cat([symbols.new_full((len(symbols), 1), BLANK), symbols], dim=1)
        predicted, _ = self.predictor.sequence(read, None, self.predictor.initial_state(x.shape[0]))
        logits = self.joiner(encoded[:, :, None], predicted[:, None])
        return rnnt_nats(logits.float(), lengths, symbols, counts, BLANK)
