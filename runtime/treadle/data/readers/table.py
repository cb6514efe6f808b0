"""CSV and TSV files, with or without a header."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from treadle.data.malformed import Malformed
from treadle.data.readers.lines import decoded, raw_lines
from treadle.data.readers.shaping import names_of, shaper
from treadle.errors import DataError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from treadle.data.readers.shaping import Columns, Row, Shaped

Kind = Literal["csv", "tsv"]


def read_table(
    path: str | os.PathLike[str],
    columns: Columns,
    *,
    kind: Kind = "csv",
    header: bool = True,
    malformed: Malformed | None = None,
) -> Iterator[Shaped]:
    """An example a row; which one, the roles of `columns` say (shaping.py).

    "csv" has commas and quotes as RFC 4180 says, so a field may hold line ends; "tsv" has tabs and
    no quotes. Without a header the columns are called "0", "1", … A row with another number of
    fields than the first is malformed. Raises DataError.
    """
    malformed = malformed or Malformed()
    make = shaper(columns)
    for number, row in read_rows(path, kind, names_of(columns), header=header, malformed=malformed):
        try:
            example = make(row)
        except DataError as error:
            malformed.found(Path(path), number, str(error))
        else:
            yield example


def read_rows(
    path: str | os.PathLike[str],
    kind: Kind,
    needed: list[str],
    *,
    header: bool = True,
    malformed: Malformed | None = None,
) -> Iterator[tuple[int, Row]]:
    """The number of a row's last line, and its fields by column. Raises DataError.

    Empty lines are no rows. A file that lacks a column that is `needed` is an error always.
    """
    malformed, path = malformed or Malformed(), Path(path)
    names: list[str] | None = None
    for number, fields in _records(path, kind, malformed):
        if names is None:
            names = fields if header else [str(place) for place in range(len(fields))]
            _check_names(path, names, needed)
            if header:
                continue
        if len(fields) == len(names):
            yield number, dict(zip(names, fields, strict=True))
        else:
            malformed.found(path, number, f"expected {len(names)} fields, got {len(fields)}")
    if names is None:
        raise DataError(f"{path}: expected rows of {kind}, got an empty file")


def _records(path: Path, kind: Kind, malformed: Malformed) -> Iterator[tuple[int, list[str]]]:
    last = 0

    def lines() -> Iterator[str]:
        nonlocal last
        for number, raw in raw_lines(path):
            last = number
            text = decoded(path, number, raw, malformed)
            if text is not None:
                yield text + "\n"

    if kind == "tsv":
        for text in lines():
            if text != "\n":
                yield last, text.removesuffix("\n").split("\t")
        return
    records = csv.reader(lines(), strict=True)
    while True:
        try:
            fields = next(records)
        except StopIteration:
            return
        except csv.Error as error:
            malformed.found(path, last, f"expected a row of csv, got one with {error}")
        else:
            if fields:
                yield last, fields


def _check_names(path: Path, names: list[str], needed: list[str]) -> None:
    repeated = [name for name in names if names.count(name) > 1]
    if repeated:
        raise DataError(f"{path}: expected columns of different names, got {repeated[0]!r} twice")
    missing = [name for name in needed if name not in names]
    if missing:
        raise DataError(
            f"{path}: expected a column {missing[0]!r}, got {', '.join(names)[:200]}; "
            'without a header the columns are called "0", "1", …'
        )
