"""Models of fastText (.bin): vectors of words, and of unknown words from their parts.

Read with gensim (extra `embeddings`).
"""

import shutil
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from treadle.data.readers.lines import is_packed, opened
from treadle.errors import DataError

MAGIC = 793712314  # the first four bytes of a fastText model, as a little-endian integer
# What gensim raises for a file that is damaged, depending on where.
_DAMAGE = (
    *(AssertionError, ValueError, EOFError, NotImplementedError, struct.error, OverflowError),
    *(MemoryError, LookupError, AttributeError, TypeError),
)


class SubwordVectors:
    """The vectors of a fastText model. Raises DataError for a file that is none, or no gensim."""

    def __init__(self, path: Path) -> None:
        self._vectors = _load(path)

    def __contains__(self, word: str) -> bool:
        """Whether the model was trained on the word itself."""
        return word in self._vectors.key_to_index

    @property
    def words(self) -> list[str]:
        """The words that the model was trained on, in its order: the most frequent first."""
        return list(self._vectors.index_to_key)

    def vector(self, word: str) -> NDArray[np.float32] | None:
        """float32 [size]; None for a word that is unknown and has no part that is known."""
        try:
            return np.asarray(self._vectors.get_vector(word), np.float32)
        except KeyError:
            return None


def _load(path: Path) -> Any:
    try:
        from gensim.models.fasttext import load_facebook_vectors
    except ImportError as error:
        raise DataError(
            f"reading {path} needs gensim, which is not installed: "
            "pip install 'treadle[embeddings]'"
        ) from error
    try:
        with _unpacked(path) as plain:
            return load_facebook_vectors(str(plain))
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
    except _DAMAGE as error:
        raise DataError(f"{path}: expected a whole model of fastText: {error!r}") from error


@contextmanager
def _unpacked(path: Path) -> Iterator[Path]:
    """The file itself, or a copy without its gzip packing: gensim reads plain files only."""
    if not is_packed(path):
        yield path
        return
    with TemporaryDirectory() as folder:
        copy = Path(folder, "model.bin")
        with opened(path) as file, copy.open("wb") as plain:
            shutil.copyfileobj(file, plain)
        yield copy
