"""The vectors of words that a recipe asks for: which file, which words, what was found of them."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from treadle.data.registry import GLOVE, Source, locate
from treadle.errors import DataError, RecipeError
from treadle.vocabulary import Vocabulary
from treadle_train.embeddings.loading import Embeddings, first_words, load_embeddings
from treadle_train.sections.data import VectorsSection

PUBLISHED: dict[str, Source] = {"glove": GLOVE}
"""Vectors that a recipe may name, and their file."""

FEW = 0.5
"""A share of the data's words below which something is probably wrong."""

_SHOWN = 5


@dataclass(frozen=True, eq=False)
class WordVectors:
    """The vectors of a file for the symbols of a vocabulary, and what is known of the file.

    name, licence: as the recipe names it, and the licence of a published one; sha256: of the file;
    frozen: training leaves them as they are.
    """

    name: str
    licence: str | None
    sha256: str
    embeddings: Embeddings
    frozen: bool

    def to_json(self) -> dict[str, Any]:
        """What run.json says of them."""
        coverage = self.embeddings.coverage
        return {
            "file": self.name,
            "sha256": self.sha256,
            "licence": self.licence,
            "frozen": self.frozen,
            "size": self.embeddings.matrix.shape[1],
            "symbols": coverage.symbols,
            "found": coverage.found,
            "from_subwords": coverage.from_subwords,
            "occurrences": round(coverage.occurrences or 0.0, 6),
        }

    def __str__(self) -> str:
        coverage = self.embeddings.coverage
        share = coverage.occurrences or 0.0
        parts = f", {coverage.from_subwords} from parts of the word" * bool(coverage.from_subwords)
        lines = (
            f"vectors: {self.name} has those of {coverage.found} of {coverage.symbols} words"
            f"{parts}; these are {share:.1%} of the words read in training"
        )
        if coverage.missing:
            lines += f"; most often missing: {' '.join(coverage.missing[:_SHOWN])}"
        if share < FEW:
            lines += (
                f". That is less than {FEW:.0%}: look whether they are of the same language, and "
                "all in lower case (then set vectors.lowercase = true)"
            )
        return lines


def joining_words(section: VectorsSection) -> list[str]:
    """The first `section.words` words of the file, which join a vocabulary; none without one."""
    if not section.file or not section.words:
        return []
    return first_words(_file(section.file)[0], section.words, section.format)


def open_word_vectors(
    section: VectorsSection,
    vocabulary: Vocabulary,
    counts: Mapping[str, int],
    embedding_size: int,
) -> WordVectors | None:
    """The vectors for the words of `vocabulary`; None where the recipe names no file.

    counts: how often words occur in training. Raises DataError for a file that is missing or
    malformed or has no word of the vocabulary, RecipeError where the vectors have another size than
    the network's embedding.
    """
    if not section.file:
        return None
    path, licence = _file(section.file)
    found = load_embeddings(
        path, vocabulary, format=section.format, lower=section.lowercase, counts=counts
    )
    size = found.matrix.shape[1]
    if size != embedding_size:
        raise RecipeError(
            f"The vectors of {section.file} have {size} numbers, but network.embedding_size is "
            f"{embedding_size}; set network.embedding_size = {size}."
        )
    return WordVectors(section.file, licence, _digest(path), found, section.frozen)


def _file(name: str) -> tuple[Path, str | None]:
    """The path, and the licence of a published file. Raises DataError where there is none."""
    if name in PUBLISHED:
        return locate(PUBLISHED[name]), PUBLISHED[name].licence
    path = Path(name)
    if not path.is_file():
        raise DataError(
            f"vectors.file should be the path of a file of vectors or one of "
            f"{', '.join(PUBLISHED)}, but there is no file {name!r}"
        )
    return path, None


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
