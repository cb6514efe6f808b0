"""Parallel text: files of as many lines each, where the same line says the same."""

from __future__ import annotations

from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

from treadle.data.examples import Pair
from treadle.data.malformed import Malformed
from treadle.data.readers.lines import decoded, raw_lines
from treadle.errors import DataError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Sequence


def read_parallel(
    source: str | os.PathLike[str],
    targets: Sequence[str | os.PathLike[str]],
    *,
    malformed: Malformed | None = None,
) -> Iterator[Pair]:
    """A pair a line; several files of targets are several references. Raises DataError.

    A line that is empty in one of the files is malformed; files of unlike length are an error
    always, because nobody knows where the lines went.
    """
    malformed = malformed or Malformed()
    paths = [Path(source), *map(Path, targets)]
    for number, lines in enumerate(zip_longest(*map(raw_lines, paths)), start=1):
        if None in lines:
            ended = [line is None for line in lines]
            short, long = paths[ended.index(True)], paths[ended.index(False)]
            raise DataError(
                f"expected as many lines in {short} as in {long}, "
                f"got {number - 1} and at least {number}"
            )
        texts = [
            _line(path, number, line[1], malformed) for path, line in zip(paths, lines, strict=True)
        ]
        said = [text for text in texts if text is not None]
        if len(said) == len(paths):
            yield Pair(said[0], tuple(said[1:]))


def _line(path: Path, number: int, raw: bytes, malformed: Malformed) -> str | None:
    text = decoded(path, number, raw, malformed)
    if text is not None and not text.strip():
        malformed.found(path, number, "expected text, got an empty line")
        return None
    return text
