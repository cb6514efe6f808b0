"""Vectors in the binary form of word2vec: a line "words size", then word, space, float32s."""

from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from treadle.data.malformed import Malformed
from treadle.data.readers.lines import opened
from treadle.errors import DataError

LONGEST_WORD = 10_000  # bytes; what is longer is no word but a file of another format


def read_binary_vectors(
    path: Path, malformed: Malformed
) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Every word with its vector float32 [size], in the order of the file.

    A word that is no UTF-8, or has numbers that are none, is malformed. Raises DataError, also
    when the file ends too early.
    """
    with opened(path) as file:
        words, size = _header(path, file.readline(100))
        for number in range(1, words + 1):
            raw = _word(path, file, number)
            content = file.read(4 * size)
            if len(content) < 4 * size:
                raise DataError(f"{path}: expected {words} words, got an end inside word {number}")
            vector = np.frombuffer(content, "<f4").astype(np.float32)
            try:
                word = raw.decode("utf-8")
            except UnicodeDecodeError:
                malformed.found(path, f"word {number}", f"expected UTF-8, got {raw!r}")
                continue
            if np.isfinite(vector).all():
                yield word, vector
            else:
                malformed.found(path, f"word {number}", f"expected numbers behind {word!r}")


def _header(path: Path, line: bytes) -> tuple[int, int]:
    fields = line.split()
    if len(fields) != 2 or not all(field.isdigit() for field in fields) or int(fields[1]) == 0:
        raise DataError(
            f"{path}: expected the number of words and of their numbers in the first line, "
            f"got {line[:80]!r}"
        )
    return int(fields[0]), int(fields[1])


def _word(path: Path, file: IO[bytes], number: int) -> bytes:
    """Bytes up to the next space; a line end before them belongs to the vector before."""
    word = bytearray()
    while (byte := file.read(1)) != b" ":
        if not byte or len(word) > LONGEST_WORD:
            raise DataError(f"{path}: expected a word and a space as word {number}, got none")
        word += byte
    return bytes(word).removeprefix(b"\n")
