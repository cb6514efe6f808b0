"""Sections of a recipe about its data: which, and what is taken for a symbol."""

from dataclasses import dataclass, field
from typing import Any, Literal

from treadle.errors import RecipeError
from treadle.vocabulary import Kind
from treadle_train.embeddings.loading import Format
from treadle_train.sections.reading import at_least

SymbolName = Literal["characters", "words", "subwords"]


@dataclass(frozen=True, kw_only=True)
class DataSection:
    """Which data set of `treadle.data`, and its options."""

    name: str
    options: dict[str, Any] = field(default_factory=dict)


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
