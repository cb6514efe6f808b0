"""Write a file so that it is there whole or not at all."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def write_atomically(path: str | os.PathLike[str], content: bytes) -> None:
    """Write `content` as `whole_file` does. Raises OSError."""
    with whole_file(path) as file:
        file.write(content)


@contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """A temporary sibling of `path` to write to; at the end flushed to the disk and renamed to it.

    What was at `path` stays as it was when anything fails. Raises OSError that names `path`.
    """
    from pathlib import Path

    target = Path(path)
    temporary = target.with_name(f".{target.name}.{os.urandom(4).hex()}.tmp")
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except OSError as error:
        # A full disk would not say which file, and the temporary one's name says nothing.
        raise OSError(error.errno, error.strerror, os.fspath(target)) from error
    finally:
        # A disk that failed may fail at this too, and what failed first is to be told.
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
