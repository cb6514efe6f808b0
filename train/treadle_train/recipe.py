"""What a recipe says: every section, its keys, their types and ranges.

A recipe is a TOML file. Reading is strict: an unknown key, a wrong type or a value out of range
is a RecipeError that names the key.
"""

from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any, Literal

from treadle.errors import RecipeError
from treadle.searchable import LENGTH_PENALTY, WIDEST_BEAM
from treadle.vocabulary import Kind
from treadle_train.embeddings.loading import Format
from treadle_train.sections import at_least, rate, read_section

CellName = Literal["elman", "elman-relu", "lstm", "lstm-peephole", "gru", "gru-reset-before"]
AttentionName = Literal["dot", "general", "additive", "fixed"]
PoolingName = Literal["last", "max", "mean", "attention"]
ReadingName = Literal["words", "characters", "frames"]
SymbolName = Literal["characters", "words", "subwords"]
FigureName = Literal["accuracy", "macro_f1"]
RelativeName = Literal["last", "season"]
ErrorName = Literal["mse", "mae"]
TransducerKind = Literal["ctc", "rnn-t"]
GivenName = Literal["start", "every-step"]
WrittenName = Literal["symbols", "characters", "words"]
LikelihoodName = Literal["nats_per_symbol", "perplexity"]
TagFigureName = Literal["accuracy", "span_f1"]
TextFigureName = Literal["word_error_rate", "bleu", "rouge_l", "hits_at_10"]
TooLongName = Literal["error", "leave-out"]
PrecisionName = Literal["float32", "bfloat16"]
AcceleratorName = Literal["cpu", "cuda"]
StrategyName = Literal["auto", "ddp"]
ScheduleName = Literal["one-cycle", "constant", "cosine", "plateau"]


@dataclass(frozen=True, kw_only=True)
class DataSection:
    """Which data set of `treadle.data`, and its options."""

    name: str
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class TransducerSection:
    """Sizes of a `treadle_train.networks.Transducer`, and what is dropped while it trains.

    dropout: of what goes from layer to layer; embedding_dropout: of single numbers of a symbol's
    vector; symbol_dropout: of whole symbols; recurrent_dropout: of recurrent weights;
    variational_dropout: of what goes from layer to layer and of numbers of a symbol's vector, one
    mask serves a whole sequence. residual, layer_norm, forget_bias: see `cells.Stack`.
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


@dataclass(frozen=True, kw_only=True)
class VectorsSection:
    """Vectors of words that others trained, which the embedding starts with.

    file: a published set ("glove"), or the path of a file in one of the formats of
    `embeddings.load_embeddings`; "": none. lowercase: a word without a vector takes that of its
    lower case. words: so many of the file's first words join the vocabulary, so that a trained
    network knows words that its training has not seen; sound where vectors are frozen, or move
    little. frozen: training leaves the vectors of the file as they are, and learns the others.
    """

    file: str = ""
    format: Format = "detect"
    lowercase: bool = False
    words: int = at_least(0, 0)
    frozen: bool = False


def check_vectors(vectors: VectorsSection, key: str, reads: str) -> None:
    """Raise RecipeError where vectors of words are asked for and others are read by `key`."""
    if vectors.file and reads != "words":
        raise RecipeError(
            f"vectors.file holds vectors of words, but {key} is {reads!r}; set {key} = 'words', or "
            "leave the vectors out."
        )


@dataclass(frozen=True, kw_only=True)
class BucketSection:
    """How pairs of sequences become batches.

    window: so many batches are sorted by length together (0: the whole epoch); unknown_rate: the
    share of source symbols replaced by the unknown symbol, so that it learns a meaning; too_long:
    what becomes of a training pair of which a side is longer than its `longest`.
    """

    too_long: TooLongName = "error"
    batch_size: int = at_least(1, 256)
    window: int = at_least(0, 0)
    unknown_rate: float = rate(0.002)


@dataclass(frozen=True, kw_only=True)
class LaneSection:
    """How one long text becomes batches.

    batch_size lanes run through the text side by side, `steps` symbols a batch, the state carried
    from batch to batch; unknown_rate: the share of input symbols replaced by the unknown symbol.
    """

    batch_size: int = at_least(1, 64)
    steps: int = at_least(1, 128)
    unknown_rate: float = rate(0.002)


@dataclass(frozen=True, kw_only=True)
class ReadingSection:
    """What a classifier reads, and how its inputs become batches.

    of: "words" or "characters" of a text (`treadle.vocabulary`), or "frames" of numbers;
    least_count: a symbol that the training split has less often is unknown; batch_size, window,
    unknown_rate: as in `BucketSection`.
    """

    of: ReadingName = "words"
    least_count: int = at_least(1, 1)
    batch_size: int = at_least(1, 64)
    window: int = at_least(0, 0)
    unknown_rate: float = rate(0.0)


@dataclass(frozen=True, kw_only=True)
class SymbolSection:
    """What a language model takes a text for: `of` is a kind of `treadle.vocabulary`.

    size: the most symbols there may be, the unknown one included; 0: no limit, for subwords 1,000.
    Of words the most frequent are kept; characters that are too many are an error. least_count: a
    word that the training split has less often is unknown.
    """

    of: SymbolName = "characters"
    size: int = at_least(0, 0)
    least_count: int = at_least(1, 1)

    def __post_init__(self) -> None:
        if self.least_count > 1 and self.of != "words":
            raise RecipeError(
                f"symbols.least_count leaves rare words out, and {self.of} are never left out; set "
                'symbols.of = "words", or symbols.least_count = 1.'
            )


@dataclass(frozen=True, kw_only=True)
class SideSection:
    """What a transducer takes one side of a pair for: `of` is a kind of `treadle.vocabulary`.

    size: as in `SymbolSection`, with all special symbols; least_count: a symbol that the training
    split has less often is unknown; lowercase: texts are put in lower case; longest: the most
    symbols of a training text (0: no limit).
    """

    of: Kind
    size: int = at_least(0, 0)
    least_count: int = at_least(1, 1)
    lowercase: bool = False
    longest: int = at_least(0, 0)

    def __post_init__(self) -> None:
        if self.of == "subwords" and self.least_count > 1:
            raise RecipeError(
                "least_count is of whole symbols, and subwords are learnt by their frequency; "
                "choose a smaller size instead."
            )


@dataclass(frozen=True, kw_only=True)
class SourceSection(SideSection):
    """The source; its characters unless the recipe says otherwise."""

    of: Kind = "characters"


@dataclass(frozen=True, kw_only=True)
class TargetSection(SideSection):
    """The target; what white space separates unless the recipe says otherwise."""

    of: Kind = "symbols"


@dataclass(frozen=True, kw_only=True)
class SeriesSection:
    """Which channels of a series are read, which is forecast, and how it becomes batches.

    target: one of `channels`; batch_size, steps: as in `LaneSection`, in frames.
    """

    channels: tuple[str, ...]
    target: str
    batch_size: int = at_least(1, 16)
    steps: int = at_least(1, 64)

    def __post_init__(self) -> None:
        if self.target not in self.channels or len({*self.channels}) < len(self.channels):
            raise RecipeError(
                f"batching.channels should be different names, batching.target among them, got "
                f"{list(self.channels)} and {self.target!r}."
            )


@dataclass(frozen=True, kw_only=True)
class TokenSection:
    """What a tagger knows of tokens, and how sentences become batches.

    lowercase: tokens are read in lower case; least_count, batch_size, window, unknown_rate: as in
    `ReadingSection`.
    """

    lowercase: bool = False
    least_count: int = at_least(1, 1)
    batch_size: int = at_least(1, 32)
    window: int = at_least(0, 0)
    unknown_rate: float = rate(0.0)


@dataclass(frozen=True, kw_only=True)
class UtteranceSection:
    """How utterances become batches: batch_size and window as in `BucketSection`."""

    batch_size: int = at_least(1, 32)
    window: int = at_least(0, 0)


@dataclass(frozen=True, kw_only=True)
class WritingSection:
    """What a generator writes, and how sequences become batches.

    of: "symbols" that white space separates, "characters" or "words" (`treadle.vocabulary`);
    least_count: a symbol that the training split has less often is unknown; longest: training reads
    so many symbols of a sequence (0: all); unknown_rate: the share of symbols that are read as the
    unknown one; batch_size, window: as in `BucketSection`, by the length of what is written.
    """

    of: WrittenName = "symbols"
    least_count: int = at_least(1, 1)
    longest: int = at_least(0, 0)
    batch_size: int = at_least(1, 64)
    window: int = at_least(0, 0)
    unknown_rate: float = rate(0.002)


@dataclass(frozen=True, kw_only=True)
class TrainingSection:
    """The optimization: Adam, by default with a one-cycle learning rate.

    schedule, plateau_factor, plateau_patience: `modules.optimization.make_schedule`; warmup: the
    share of steps in which the rate rises; accumulate: batches for one step of the optimizer;
    gradient_clip: the gradient's largest norm, clip_value: the largest magnitude of one number in
    it, clipped first (0: none); weight_decay: of matrices, apart from the gradient (0: none);
    average: decay of the moving average of weights that is validated and kept (0: none);
    patience: epochs without a better validation figure before training stops (0: never);
    threads: 0 takes every core; checkpoint_steps: steps between checkpoints inside an epoch;
    validation_limit: examples to validate on (0: all); precision: of the products in training,
    where the processor has them in bfloat16 (mixed_precision.py). accelerator, devices, num_nodes,
    strategy: Lightning's words; as many processes as devices × num_nodes share every batch, and
    "auto" is "ddp" where there are several (processes/).
    """

    epochs: int = at_least(1, 4)
    learning_rate: float = at_least(1e-9, 3e-3)
    warmup: float = rate(0.1)
    label_smoothing: float = rate(0.0)
    schedule: ScheduleName = "one-cycle"
    plateau_factor: float = rate(0.5)
    plateau_patience: int = at_least(0, 1)
    accumulate: int = at_least(1, 1)
    gradient_clip: float = at_least(0, 1.0)
    clip_value: float = at_least(0, 0.0)
    weight_decay: float = at_least(0, 0.0)
    average: float = rate(0.0)
    patience: int = at_least(0, 0)
    seed: int = at_least(0, 0, below=2**31)  # torch takes 63 bits, 32 of them count steps
    threads: int = at_least(0, 0)
    checkpoint_steps: int = at_least(1, 200)
    validation_limit: int = at_least(0, 0)
    precision: PrecisionName = "float32"
    accelerator: AcceleratorName = "cpu"
    devices: int = at_least(1, 1)
    num_nodes: int = at_least(1, 1)
    strategy: StrategyName = "auto"


@dataclass(frozen=True, kw_only=True)
class TransducerTrainingSection(TrainingSection):
    """The optimization of a transducer.

    scheduled_sampling: at the end of training, so many of the symbols that the decoder reads are
    its own; the share rises along a line from 0 (modules/scheduled_sampling.py).
    """

    scheduled_sampling: float = rate(0.0)


@dataclass(frozen=True, kw_only=True)
class TaggerTrainingSection(TrainingSection):
    """The optimization of a tagger.

    outside_cost: so many nats more must the right tag of a token inside a span be worth than "O",
    in training only (`modules.tagging.TaggerModule`); a tagger then finds more of the spans, and
    more that are none.
    """

    outside_cost: float = at_least(0, 0.0)


@dataclass(frozen=True, kw_only=True)
class DecodingSection:
    """How a bundle searches unless told otherwise, and when it gives up.

    beam: hypotheses kept, 1 is greedy; length_penalty: the exponent of the length penalty
    (`treadle.decoding.beam`).
    """

    max_length: int = at_least(1, 40)
    beam: int = at_least(1, 1, below=WIDEST_BEAM + 1)
    length_penalty: float = at_least(0, LENGTH_PENALTY, below=10)


@dataclass(frozen=True, kw_only=True)
class TransducerRecipe:
    """A recipe with task = "transduction". metric: what it is judged and chosen by."""

    name: str
    summary: str
    licence: str
    task: Literal["transduction"]
    data: DataSection
    network: TransducerSection
    batching: BucketSection
    training: TransducerTrainingSection
    source: SourceSection = field(default_factory=SourceSection)
    target: TargetSection = field(default_factory=TargetSection)
    decoding: DecodingSection = field(default_factory=DecodingSection)
    metric: TextFigureName = "word_error_rate"


@dataclass(frozen=True, kw_only=True)
class LanguageModelRecipe:
    """A recipe with task = "language-modelling"."""

    name: str
    summary: str
    licence: str
    task: Literal["language-modelling"]
    data: DataSection
    network: LanguageModelSection
    batching: LaneSection
    training: TrainingSection
    symbols: SymbolSection = field(default_factory=SymbolSection)
    vectors: VectorsSection = field(default_factory=VectorsSection)

    def __post_init__(self) -> None:
        check_vectors(self.vectors, "symbols.of", self.symbols.of)
        if self.vectors.words:
            raise RecipeError(
                "vectors.words lets words join that are read and never answered, and a language "
                "model has to tell how likely each of its words is; set vectors.words = 0."
            )


@dataclass(frozen=True, kw_only=True)
class ClassifierRecipe:
    """A recipe with task = "classification". metric: what it is judged and chosen by."""

    name: str
    summary: str
    licence: str
    task: Literal["classification"]
    data: DataSection
    network: ClassifierSection
    batching: ReadingSection
    training: TrainingSection
    metric: FigureName = "accuracy"
    vectors: VectorsSection = field(default_factory=VectorsSection)

    def __post_init__(self) -> None:
        check_vectors(self.vectors, "batching.of", self.batching.of)
        if (self.batching.of == "frames") != bool(self.network.features):
            raise RecipeError(
                f"network.features says how many numbers a frame has, and is 0 where "
                f"symbols are read; got {self.network.features} with batching.of = "
                f"{self.batching.of!r}."
            )


@dataclass(frozen=True, kw_only=True)
class ForecasterRecipe:
    """A recipe with task = "forecasting". metric: what it is judged and chosen by."""

    name: str
    summary: str
    licence: str
    task: Literal["forecasting"]
    data: DataSection
    network: ForecasterSection
    batching: SeriesSection
    training: TrainingSection
    metric: ErrorName = "mse"

    def __post_init__(self) -> None:
        if self.batching.steps < self.network.season:
            raise RecipeError(
                f"batching.steps should be at least network.season, since nothing is learned "
                f"until a season was read; got {self.batching.steps} and {self.network.season}."
            )


@dataclass(frozen=True, kw_only=True)
class TaggerRecipe:
    """A recipe with task = "tagging". metric: what it is judged and chosen by."""

    name: str
    summary: str
    licence: str
    task: Literal["tagging"]
    data: DataSection
    network: TaggerSection
    batching: TokenSection
    training: TaggerTrainingSection
    metric: TagFigureName = "accuracy"
    vectors: VectorsSection = field(default_factory=VectorsSection)

    def __post_init__(self) -> None:
        if self.network.crf and self.training.label_smoothing:
            raise RecipeError(
                "training.label_smoothing is of tags that are chosen one by one, and with "
                "network.crf they are chosen together; set one of the two to its default."
            )


@dataclass(frozen=True, kw_only=True)
class SpeechDecodingSection:
    """How a bundle searches unless told otherwise. beam: hypotheses kept, 1 is greedy."""

    beam: int = at_least(1, 1, below=WIDEST_BEAM + 1)


@dataclass(frozen=True, kw_only=True)
class SpeechTransducerRecipe:
    """A recipe with task = "speech-transduction"."""

    name: str
    summary: str
    licence: str
    task: Literal["speech-transduction"]
    data: DataSection
    network: SpeechTransducerSection
    batching: UtteranceSection
    training: TrainingSection
    decoding: SpeechDecodingSection = field(default_factory=SpeechDecodingSection)

    def __post_init__(self) -> None:
        if self.training.label_smoothing:
            raise RecipeError(
                "training.label_smoothing is of labels that are chosen one by one, and here those "
                "of all steps are chosen together; set it to 0."
            )


@dataclass(frozen=True, kw_only=True)
class GeneratorRecipe:
    """A recipe with task = "generation". metric: what it is judged and chosen by."""

    name: str
    summary: str
    licence: str
    task: Literal["generation"]
    data: DataSection
    network: GeneratorSection
    batching: WritingSection
    training: TrainingSection
    decoding: DecodingSection = field(default_factory=DecodingSection)
    metric: LikelihoodName = "nats_per_symbol"


Recipe = (
    ClassifierRecipe
    | ForecasterRecipe
    | GeneratorRecipe
    | LanguageModelRecipe
    | SpeechTransducerRecipe
    | TaggerRecipe
    | TransducerRecipe
)
RECIPE_TYPES: dict[str, type[Recipe]] = {
    "classification": ClassifierRecipe,
    "forecasting": ForecasterRecipe,
    "generation": GeneratorRecipe,
    "speech-transduction": SpeechTransducerRecipe,
    "tagging": TaggerRecipe,
    "transduction": TransducerRecipe,
    "language-modelling": LanguageModelRecipe,
}


def recipe_from_table(table: dict[str, Any]) -> Recipe:
    """The recipe in a parsed TOML table. Raises RecipeError naming the key that is wrong."""
    task = table.get("task")
    if task not in RECIPE_TYPES:
        raise RecipeError(
            f"The key 'task' of a recipe should be one of {', '.join(RECIPE_TYPES)}, got {task!r}."
        )
    recipe: Recipe = read_section(RECIPE_TYPES[task], table, "")
    return recipe


def recipe_to_table(recipe: Recipe) -> dict[str, Any]:
    """The recipe with every default filled in, as a table that `recipe_from_table` reads."""
    return asdict(recipe)
