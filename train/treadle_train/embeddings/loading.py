"""Pre-trained vectors of the symbols of a vocabulary, and how many of these have one."""

import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from treadle.data.malformed import Malformed
from treadle.data.readers.lines import opened
from treadle.errors import DataError
from treadle.vocabulary import SPECIALS, Vocabulary
from treadle_train.embeddings.fasttext_binary import MAGIC, SubwordVectors
from treadle_train.embeddings.text import read_text_vectors
from treadle_train.embeddings.word2vec_binary import read_binary_vectors

Format = Literal["detect", "glove", "word2vec", "word2vec-binary", "fasttext-binary"]
Vectors = Iterator[tuple[str, NDArray[np.float32]]]


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of a vocabulary has vectors; special symbols do not count.

    symbols: how many there are; found: how many have a vector, `from_subwords` of these only one
    made of parts of the word; occurrences: the share of all occurrences in the data that have one,
    None where no counts were given; missing: the symbols without, the most frequent first.
    """

    symbols: int
    found: int
    from_subwords: int
    occurrences: float | None
    missing: tuple[str, ...]

    @property
    def share(self) -> float:
        """Of the symbols, how many have a vector: 0 to 1."""
        return self.found / self.symbols if self.symbols else 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Embeddings:
    """matrix: float32 [symbols, size], zeros where there is no vector; found: bool [symbols]."""

    matrix: NDArray[np.float32]
    found: NDArray[np.bool_]
    coverage: Coverage


def load_embeddings(
    path: str | Path,
    vocabulary: Vocabulary,
    *,
    format: Format = "detect",  # noqa: A002 - the word that a recipe says
    lower: bool = False,
    counts: Mapping[str, int] | None = None,
    malformed: Malformed | None = None,
) -> Embeddings:
    """The vectors in a file for the symbols of `vocabulary`; special symbols have none.

    Formats: "glove" (text, no header), "word2vec" (text behind a line "words size", as fastText
    writes .vec), "word2vec-binary", and "fasttext-binary" (.bin), which has vectors for unknown
    words too, from parts of the word. "detect" tells them by how the file begins and, between the
    two of word2vec, by the ending .bin. Any may be packed with gzip. With `lower` a symbol without
    a vector gets that of its lower case. `counts` says how often symbols occur in the data.
    Raises DataError naming what is malformed and where.
    """
    path, malformed = Path(path), malformed or Malformed()
    kind = _detect(path) if format == "detect" else format
    special = {getattr(vocabulary, role) for role in SPECIALS}
    places = {s: i for i, s in enumerate(vocabulary.symbols) if i not in special}
    if kind == "fasttext-binary":
        vectors, subword = _from_subwords(path, places, lower=lower)
    else:
        wanted = {form for symbol in places for form in _forms(symbol, lower=lower)}
        read = dict(_read(path, kind, wanted, malformed))
        vectors, subword = _chosen(read, places, lower=lower), 0
    matrix, found = _matrix(path, vocabulary, places, vectors)
    return Embeddings(matrix, found, _coverage(places, vectors, subword, counts))


def first_words(path: str | Path, count: int, format: Format = "detect") -> list[str]:  # noqa: A002
    """The first words of a file, which are the most frequent ones, each once.

    Formats and errors are those of `load_embeddings`; what comes behind is not read.
    """
    path = Path(path)
    kind = _detect(path) if format == "detect" else format
    if kind == "fasttext-binary":
        return SubwordVectors(path).words[:count]
    return [word for word, _ in islice(_read(path, kind, None, Malformed()), count)]


def _read(path: Path, kind: Format, wanted: set[str] | None, malformed: Malformed) -> Vectors:
    """The first vector of every word that is wanted; None: of every word."""
    seen: set[str] = set()
    if kind == "word2vec-binary":
        read = read_binary_vectors(path, malformed)
    else:
        read = read_text_vectors(path, wanted, header=kind == "word2vec", malformed=malformed)
    for word, vector in read:
        if (wanted is None or word in wanted) and word not in seen:
            seen.add(word)
            yield word, vector


def _forms(symbol: str, *, lower: bool) -> list[str]:
    return [symbol, symbol.lower()] if lower else [symbol]


def _chosen(
    read: Mapping[str, NDArray[np.float32]], symbols: Iterable[str], *, lower: bool
) -> dict[str, NDArray[np.float32]]:
    """The vector of each symbol as it is written, or else of its lower case."""
    chosen = {}
    for symbol in symbols:
        form = next((form for form in _forms(symbol, lower=lower) if form in read), None)
        if form is not None:
            chosen[symbol] = read[form]
    return chosen


def _from_subwords(
    path: Path, symbols: Iterable[str], *, lower: bool
) -> tuple[dict[str, NDArray[np.float32]], int]:
    """Vectors of all symbols that have one, and how many of them are made of parts."""
    source, chosen, subword = SubwordVectors(path), {}, 0
    for symbol in symbols:
        forms = _forms(symbol, lower=lower)
        known = next((form for form in forms if form in source), None)
        vector = source.vector(forms[-1] if known is None else known)
        if vector is not None:
            chosen[symbol] = vector
            subword += known is None
    return chosen, subword


def _matrix(
    path: Path,
    vocabulary: Vocabulary,
    places: Mapping[str, int],
    vectors: Mapping[str, NDArray[np.float32]],
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    if not vectors:
        raise DataError(
            f"{path}: expected vectors for symbols of the vocabulary, got one for none of "
            f"{len(places)}; is it of the same language, and of words rather than characters?"
        )
    size = len(next(iter(vectors.values())))
    matrix = np.zeros((len(vocabulary), size), np.float32)
    found = np.zeros(len(vocabulary), np.bool_)
    for symbol, vector in vectors.items():
        if not np.isfinite(vector).all():
            raise DataError(
                f"{path}: expected numbers in the vector of {symbol!r}, got one that is none"
            )
        matrix[places[symbol]], found[places[symbol]] = vector, True
    return matrix, found


def _coverage(
    symbols: Mapping[str, int],
    vectors: Mapping[str, NDArray[np.float32]],
    subword: int,
    counts: Mapping[str, int] | None,
) -> Coverage:
    missing = [symbol for symbol in symbols if symbol not in vectors]
    share = None
    if counts is not None:
        missing.sort(key=lambda symbol: -counts.get(symbol, 0))
        total = sum(counts.values())
        covered = sum(count for symbol, count in counts.items() if symbol in vectors)
        share = covered / total if total else 0.0
    return Coverage(len(symbols), len(vectors), subword, share, tuple(missing))


def _detect(path: Path) -> Format:
    with opened(path) as file:
        start = file.read(256)
    if start[:4] == struct.pack("<i", MAGIC):
        return "fasttext-binary"
    fields = start.split(b"\n")[0].split()
    if len(fields) == 2 and all(field.isdigit() for field in fields):
        binary = path.name.removesuffix(".gz").endswith(".bin")
        return "word2vec-binary" if binary else "word2vec"
    return "glove"
