"""Sections of a recipe about the network, one a task, and what its keys need of each other."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from treadle.errors import RecipeError
from treadle_train.sections.reading import at_least, rate

CellName = Literal["elman", "elman-relu", "lstm", "lstm-peephole", "gru", "gru-reset-before"]
AttentionName = Literal["dot", "general", "additive", "fixed"]
PoolingName = Literal["last", "max", "mean", "attention"]
RelativeName = Literal["last", "season"]
TransducerKind = Literal["ctc", "rnn-t"]
GivenName = Literal["start", "every-step"]


@dataclass(frozen=True, kw_only=True)
class TransducerSection:
    """Sizes of a `treadle_train.networks.Transducer`, and what is dropped while it trains.

    dropout: of what goes from layer to layer; embedding_dropout: of single numbers of a symbol's
    vector; symbol_dropout: of whole symbols; recurrent_dropout: of recurrent weights;
    variational_dropout: of what goes from layer to layer and of numbers of a symbol's vector, one
    mask serves a whole sequence. residual, layer_norm, forget_bias: see `cells.Stack`.
    source_ngrams: up to how many neighbouring symbols of the source have a vector of their own, 1
    to 3 (`networks.NgramEmbedding`).
    """

    embedding_size: int = at_least(1, 128)
    hidden_size: int = at_least(2, 256)
    encoder_layers: int = at_least(1, 2)
    decoder_layers: int = at_least(1, 1)
    cell: CellName = "lstm"
    attention: AttentionName = "general"
    dropout: float = rate(0.3)
    embedding_dropout: float = rate(0.3)
    symbol_dropout: float = rate(0.0)
    recurrent_dropout: float = rate(0.0)
    variational_dropout: bool = False
    residual: bool = False
    layer_norm: bool = False
    forget_bias: float = at_least(0, 0.0)
    source_ngrams: int = at_least(1, 1, below=4)

    def __post_init__(self) -> None:
        check_forget_bias(self.cell, self.forget_bias)


@dataclass(frozen=True, kw_only=True)
class LanguageModelSection:
    """Sizes of a `treadle_train.networks.LanguageModel`, and what is dropped while it trains.

    dropout, symbol_dropout, recurrent_dropout and variational_dropout (whose sequence is the steps
    of a batch), residual, layer_norm, forget_bias: as in `TransducerSection`. tied_embedding: the
    output layer uses the embedding's matrix, so both have the same size.
    """

    embedding_size: int = at_least(1, 128)
    hidden_size: int = at_least(1, 256)
    layers: int = at_least(1, 1)
    cell: CellName = "lstm"
    dropout: float = rate(0.1)
    symbol_dropout: float = rate(0.0)
    recurrent_dropout: float = rate(0.0)
    tied_embedding: bool = False
    variational_dropout: bool = False
    residual: bool = False
    layer_norm: bool = False
    forget_bias: float = at_least(0, 0.0)

    def __post_init__(self) -> None:
        check_forget_bias(self.cell, self.forget_bias)
        if self.tied_embedding:
            check_tied_sizes(self.embedding_size, self.hidden_size)


@dataclass(frozen=True, kw_only=True)
class ClassifierSection:
    """Sizes of a `treadle_train.networks.Classifier`, and what is dropped while it trains.

    features: numbers in a frame; 0 where it reads symbols. The other keys are as in
    `TransducerSection`; the dropout before the last layer is `dropout`.
    """

    embedding_size: int = at_least(1, 64)
    hidden_size: int = at_least(2, 128)
    layers: int = at_least(1, 1)
    cell: CellName = "gru"
    bidirectional: bool = False
    pooling: PoolingName = "max"
    features: int = at_least(0, 0)
    dropout: float = rate(0.5)
    embedding_dropout: float = rate(0.0)
    symbol_dropout: float = rate(0.0)
    recurrent_dropout: float = rate(0.0)
    variational_dropout: bool = False
    residual: bool = False
    layer_norm: bool = False
    forget_bias: float = at_least(0, 0.0)

    def __post_init__(self) -> None:
        check_forget_bias(self.cell, self.forget_bias)


@dataclass(frozen=True, kw_only=True)
class ForecasterSection:
    """Sizes of a `treadle_train.networks.Forecaster`, and what is dropped while it trains.

    horizons: how many steps ahead figures are means over; every step up to the largest is forecast.
    quantiles: what is forecast of each, rising, one of them 0.5; none: the mean. season: frames
    that are read at a time, and the distance at which relative_to "season" looks back. dropout: of
    what goes from layer to layer and to the output. The other keys are as in `TransducerSection`.
    """

    horizons: tuple[int, ...] = (24,)
    quantiles: tuple[float, ...] = ()
    season: int = at_least(2, 24)
    relative_to: RelativeName = "last"
    hidden_size: int = at_least(1, 64)
    layers: int = at_least(1, 1)
    cell: CellName = "gru"
    dropout: float = rate(0.2)
    recurrent_dropout: float = rate(0.0)
    variational_dropout: bool = False
    residual: bool = False
    layer_norm: bool = False
    forget_bias: float = at_least(0, 0.0)

    def __post_init__(self) -> None:
        check_forget_bias(self.cell, self.forget_bias)
        if not self.horizons or min(self.horizons) < 1 or not _rising(self.horizons):
            raise RecipeError(
                f"network.horizons should be rising numbers of steps from 1, got "
                f"{list(self.horizons)}."
            )
        inside = all(0 < share < 1 for share in self.quantiles)
        if self.quantiles and not (inside and _rising(self.quantiles) and 0.5 in self.quantiles):
            raise RecipeError(
                f"network.quantiles should be rising shares between 0 and 1, 0.5 among them, or "
                f"none for the mean; got {list(self.quantiles)}."
            )


def _rising(numbers: tuple[float, ...]) -> bool:
    return all(low < high for low, high in pairwise(numbers))


@dataclass(frozen=True, kw_only=True)
class TaggerSection:
    """Sizes of a `treadle_train.networks.Tagger`, and what is dropped while it trains.

    crf: tags are chosen together, by a conditional random field. characters: of a token so many are
    read beside it (0: none), by `character_features` windows over vectors of `character_size`. The
    other keys are as in `ClassifierSection`. lookahead: in one direction, so many tokens behind
    one have a say in its tag; chunk: in both directions, backwards is read within so many tokens
    and `lookahead` behind them (0: whole sentences).
    """

    embedding_size: int = at_least(1, 96)
    hidden_size: int = at_least(2, 256)
    layers: int = at_least(1, 1)
    cell: CellName = "lstm"
    bidirectional: bool = False
    crf: bool = False
    characters: int = at_least(0, 0)
    character_size: int = at_least(1, 32)
    character_features: int = at_least(1, 64)
    dropout: float = rate(0.5)
    embedding_dropout: float = rate(0.0)
    symbol_dropout: float = rate(0.0)
    recurrent_dropout: float = rate(0.0)
    chunk: int = at_least(0, 0, below=2**12)
    lookahead: int = at_least(0, 0, below=2**12)
    variational_dropout: bool = False
    residual: bool = False
    layer_norm: bool = False
    forget_bias: float = at_least(0, 0.0)

    def __post_init__(self) -> None:
        check_forget_bias(self.cell, self.forget_bias)
        keys = ("variational_dropout", "residual", "layer_norm", "forget_bias")
        asked = [key for key in keys if getattr(self, key)]
        if self.chunk and asked:
            raise RecipeError(
                f"network.{asked[0]} is of layers that read whole sequences, and with "
                "network.chunk they read windows; set one of the two to its default."
            )
        check_delay(
            bidirectional=self.bidirectional,
            crf=self.crf,
            chunk=self.chunk,
            lookahead=self.lookahead,
        )


def check_delay(*, bidirectional: bool, crf: bool, chunk: int, lookahead: int) -> None:
    """Raise RecipeError for a delay that the rest of a tagger makes no use of."""
    if crf and (chunk or lookahead):
        raise RecipeError(
            "With network.crf the tags of a sentence are chosen together, at its end, whatever "
            "network.chunk and network.lookahead are; leave them 0, or set network.crf = false."
        )
    if chunk and not bidirectional:
        raise RecipeError(
            f"network.chunk is of layers that read backwards as well, got {chunk} with "
            "network.bidirectional = false; set it to true, or use network.lookahead alone."
        )
    if lookahead and bidirectional and not chunk:
        raise RecipeError(
            f"A tagger in both directions reads whole sentences, so that network.lookahead = "
            f"{lookahead} adds nothing; set network.chunk, or network.bidirectional = false."
        )


@dataclass(frozen=True, kw_only=True)
class SpeechTransducerSection:
    """Sizes of a `treadle_train.networks.SpeechTransducer`, and what is dropped while it trains.

    kind: "ctc" or "rnn-t", which has besides the encoder a predictor (an embedding and one
    recurrent layer of `predictor_size`) and a joiner of `joint_size`. features: numbers in a frame;
    frames: how many are read at a time, in one step. dropout: of what goes from layer to layer and
    to the output, of the encoder.
    """

    kind: TransducerKind = "ctc"
    features: int = at_least(1, 13)
    frames: int = at_least(1, 1)
    hidden_size: int = at_least(1, 128)
    layers: int = at_least(1, 1)
    cell: CellName = "gru"
    embedding_size: int = at_least(1, 32)
    predictor_size: int = at_least(1, 64)
    joint_size: int = at_least(1, 64)
    dropout: float = rate(0.2)
    recurrent_dropout: float = rate(0.0)


@dataclass(frozen=True, kw_only=True)
class GeneratorSection:
    """Sizes of a `treadle_train.networks.Generator`, and what is dropped while it trains.

    condition_size: numbers that a label or a vector becomes; condition_at: where they are read;
    features: numbers of a vector, 0 where labels are given. The dropouts, residual, layer_norm and
    forget_bias are as in `TransducerSection`.
    """

    embedding_size: int = at_least(1, 64)
    hidden_size: int = at_least(1, 256)
    layers: int = at_least(1, 1)
    cell: CellName = "lstm"
    condition_size: int = at_least(1, 32)
    condition_at: GivenName = "every-step"
    features: int = at_least(0, 0)
    dropout: float = rate(0.2)
    embedding_dropout: float = rate(0.0)
    symbol_dropout: float = rate(0.0)
    recurrent_dropout: float = rate(0.0)
    variational_dropout: bool = False
    residual: bool = False
    layer_norm: bool = False
    forget_bias: float = at_least(0, 0.0)

    def __post_init__(self) -> None:
        check_forget_bias(self.cell, self.forget_bias)


def check_forget_bias(cell: str, forget_bias: float) -> None:
    """Raise RecipeError where a bias is asked for and the cell has no forget gate."""
    if forget_bias and not cell.startswith("lstm"):
        raise RecipeError(
            f"network.forget_bias is of the forget gate of an LSTM, and the cell {cell!r} has "
            'none; set network.cell = "lstm", or network.forget_bias = 0.'
        )


def check_tied_sizes(embedding_size: int, hidden_size: int) -> None:
    """Raise RecipeError unless a tied output layer can multiply what the network gives it."""
    if embedding_size != hidden_size:
        raise RecipeError(
            f"tied_embedding needs embedding_size and hidden_size to be equal, as the output layer "
            f"multiplies hidden states with the embedding's rows; got {embedding_size} and "
            f"{hidden_size}: set one to the other, or tied_embedding = false."
        )
