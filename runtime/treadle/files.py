"""Write a file so that it is there whole or not at all."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path


def write_atomically(path: str | os.PathLike[str], content: bytes) -> None:
    """Write `content` to a temporary sibling, flush it to the disk, and rename it to `path`.

    What was at `path` stays as it was when anything fails. Raises OSError that names `path`.
    """
    target = Path(path)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(content)
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
