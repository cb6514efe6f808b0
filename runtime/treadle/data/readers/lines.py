"""Lines of a text file, plain or packed with gzip, with their numbers."""

from __future__ import annotations

import gzip
import zlib
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

from treadle.data.malformed import Malformed
from treadle.errors import DataError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

GZIP = b"\x1f\x8b"
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def read_lines(
    path: str | os.PathLike[str], malformed: Malformed | None = None
) -> Iterator[tuple[int, str]]:
    """Number, from 1, and text of every line of a UTF-8 file, without its end (LF or CRLF).

    A byte order mark at the start is no part of the first line. A line that is no UTF-8 is
    malformed. Raises DataError.
    """
    malformed = malformed or Malformed()
    path = Path(path)
    for number, raw in raw_lines(path):
        text = decoded(path, number, raw, malformed)
        if text is not None:
            yield number, text


def raw_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """As `read_lines`, the text not decoded. Raises DataError when the file cannot be read."""
    with opened(path) as file:
        for number, raw in enumerate(file, start=1):
            line = raw.removeprefix(BYTE_ORDER_MARK) if number == 1 else raw
            yield number, line.removesuffix(b"\n").removesuffix(b"\r")


def decoded(path: Path, number: int, raw: bytes, malformed: Malformed) -> str | None:
    """The text of a line; None for one that is no UTF-8 and left out."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        malformed.found(
            path,
            number,
            f"expected UTF-8 text, got the byte 0x{raw[error.start]:02x}; convert the file",
        )
        return None


def is_packed(path: Path) -> bool:
    """Whether the file begins as gzip's do. Raises OSError."""
    with path.open("rb") as file:
        return file.read(len(GZIP)) == GZIP


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """The file's bytes, unpacked where its first bytes say that gzip packed it.

    Raises DataError for a file that is missing, unreadable, or damaged inside its packing.
    """
    try:
        if is_packed(path):
            with gzip.open(path) as unpacked:
                yield cast("IO[bytes]", unpacked)
        else:
            with path.open("rb") as file:
                yield file
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(
            f"{path}: expected a whole gzip file, got a damaged one: {error}"
        ) from error
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
