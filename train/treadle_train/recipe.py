"""Recipes, one a task: their sections, and which goes with which.

A recipe is a TOML file. Reading is strict: an unknown key, a wrong type or a value out of range
is a RecipeError that names the key.
"""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from treadle.errors import RecipeError
from treadle_train.sections.batching import (
    BucketSection,
    LaneSection,
    ReadingSection,
    SeriesSection,
    TokenSection,
    UtteranceSection,
    WritingSection,
)
from treadle_train.sections.data import (
    DataSection,
    SourceSection,
    SymbolSection,
    TargetSection,
    VectorsSection,
    check_vectors,
)
from treadle_train.sections.decoding import DecodingSection, SpeechDecodingSection
from treadle_train.sections.network import (
    ClassifierSection,
    ForecasterSection,
    GeneratorSection,
    LanguageModelSection,
    SpeechTransducerSection,
    TaggerSection,
    TransducerSection,
)
from treadle_train.sections.reading import read_section
from treadle_train.sections.training import (
    TaggerTrainingSection,
    TrainingSection,
    TransducerTrainingSection,
)

FigureName = Literal["accuracy", "macro_f1"]
ErrorName = Literal["mse", "mae"]
LikelihoodName = Literal["nats_per_symbol", "perplexity"]
TagFigureName = Literal["accuracy", "span_f1"]
TextFigureName = Literal["word_error_rate", "bleu", "rouge_l", "hits_at_10"]


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
