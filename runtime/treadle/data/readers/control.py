"""Control files of Debian: records of named fields, an empty line between two.

deb-control(5): a line `Name: value` begins a field, lines that begin with a space go on.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from treadle.data.malformed import Malformed
from treadle.data.readers.lines import read_lines

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

Record = dict[str, str]


def read_control(
    path: str | os.PathLike[str], *, malformed: Malformed | None = None
) -> Iterator[tuple[int, Record]]:
    """The number of a record's first line, and its fields by their names in lower case.

    A value that goes on has its lines with line feeds between, each without its first space. A line
    that is neither of both makes its record malformed. Raises DataError.
    """
    malformed, path = malformed or Malformed(), Path(path)
    first, lines = 0, list[str]()
    for number, line in read_lines(path, malformed):
        if line.strip():
            first = first or number
            lines.append(line)
        elif lines:
            yield from _record(path, first, lines, malformed)
            first, lines = 0, []
    if lines:
        yield from _record(path, first, lines, malformed)


def _record(
    path: Path, first: int, lines: list[str], malformed: Malformed
) -> Iterator[tuple[int, Record]]:
    fields: dict[str, list[str]] = {}
    name = ""
    for number, line in enumerate(lines, start=first):
        if line[0] in " \t":
            value = line[1:]
        else:
            name, colon, value = line.partition(":")
            name, value = name.lower() if colon else "", value.strip()
        if not name:
            malformed.found(path, number, f"expected a field `Name: value`, got {line[:80]!r}")
            return
        fields.setdefault(name, []).append(value)
    yield first, {name: "\n".join(values) for name, values in fields.items()}
