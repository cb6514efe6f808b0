"""Vectors as text, a word and its numbers a line: GloVe, and word2vec's with a header."""

from collections.abc import Container, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from treadle.data.examples import as_float32
from treadle.data.malformed import Malformed
from treadle.data.readers.lines import read_lines
from treadle.errors import DataError


def read_text_vectors(
    path: Path, wanted: Container[str] | None, *, header: bool, malformed: Malformed
) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Every word of the file that is `wanted` (None: all), with its vector float32 [size].

    The size is that of the header, "words size", or else of the first line. A line with another
    number of fields is malformed, and so is a wanted one whose numbers are none. A word may hold
    spaces. Raises DataError, also when there are fewer words than the header says.
    """
    size, promised, seen = 0, 0, 0
    for number, line in read_lines(path, malformed):
        if header and number == 1:
            promised, size = _header(path, line)
            continue
        fields = line.rstrip(" ").split(" ")
        seen += 1
        size = size or len(fields) - 1
        if len(fields) <= size or size < 1:
            malformed.found(
                path, number, f"expected a word and {size or 'some'} numbers, got {line[:80]!r}"
            )
            continue
        word = " ".join(fields[: len(fields) - size])
        if wanted is None or word in wanted:
            vector = _numbers(fields[-size:])
            if vector is None:
                malformed.found(path, number, f"expected numbers behind {word!r}, got another text")
            else:
                yield word, vector
    if seen < promised:
        raise DataError(f"{path}: expected {promised} words as the first line says, got {seen}")


def _header(path: Path, line: str) -> tuple[int, int]:
    fields = line.split()
    if len(fields) != 2 or not all(field.isdigit() for field in fields) or fields[1] == "0":
        raise DataError(
            f"{path}:1: expected the number of words and of their numbers, got {line[:80]!r}"
        )
    return int(fields[0]), int(fields[1])


def _numbers(fields: list[str]) -> NDArray[np.float32] | None:
    try:
        vector = as_float32(np.array([float(field) for field in fields]))
    except ValueError:
        return None
    return vector if np.isfinite(vector).all() else None
