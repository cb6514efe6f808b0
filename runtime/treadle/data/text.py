"""Running text, split by position: any file, a registered corpus, or Python's own reference."""

from __future__ import annotations

import hashlib
from pathlib import Path

from treadle.data.dataset import Dataset
from treadle.data.registry import TEXTS, locate
from treadle.errors import DataError


def open_text(*, path: str | None = None, name: str | None = None) -> Dataset[str]:
    """A text split 80/10/10 by position: train, validation, test; each split is one string.

    `path` is any UTF-8 file; `name` a corpus of the registry; with neither it is the language
    reference that every Python carries in `pydoc_data.topics`, which needs no download but
    differs between Python releases (the digest says so). Raises DataError.
    """
    if path is not None and name is not None:
        raise DataError(f"the data set text takes a path or a name, got both: {path!r}, {name!r}")
    if path is not None:
        text, licence, source = read_text(Path(path)), f"not stated ({Path(path).name})", path
    elif name is not None:
        text, licence, source = _registered(name)
    else:
        text, licence, source = read_topics(), "PSF-2.0 (Python documentation)", "pydoc_data.topics"
    validation, test = len(text) * 8 // 10, len(text) * 9 // 10
    return Dataset(
        name="text",
        options={"path": path} if name is None else {"name": name},
        licence=licence,
        source=source,
        digest=f"sha256:{hashlib.sha256(text.encode()).hexdigest()}",
        splits={
            "train": text[:validation],
            "validation": text[validation:test],
            "test": text[test:],
        },
    )


def read_text(path: Path) -> str:
    """The characters of a UTF-8 file, line ends as they are; raises DataError."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read the text file {path}: {error.strerror}") from error
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path}:{line}: expected UTF-8 text, got the byte 0x{content[error.start]:02x}; "
            "convert the file to UTF-8"
        ) from error
    if len(text) < 10:  # fewer would leave a split empty
        raise DataError(f"{path}: expected a text of at least 10 characters, got {len(text)}")
    return text


def read_topics() -> str:
    """The topics of Python's language reference, in alphabetical order."""
    try:
        from pydoc_data.topics import topics
    except ImportError as error:
        raise DataError(
            "this Python has no pydoc_data.topics (some builds strip it); "
            "give a text file of your own: path=FILE"
        ) from error
    return "\n".join(topics[topic] for topic in sorted(topics))


def _registered(name: str) -> tuple[str, str, str]:
    if name not in TEXTS:
        raise DataError(f"no text is called {name!r}; the registry has {', '.join(sorted(TEXTS))}")
    source = TEXTS[name]
    return read_text(locate(source)), source.licence, source.home
