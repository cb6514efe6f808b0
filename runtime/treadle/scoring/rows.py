"""Rows of JSON lines, CSV, TSV and Parquet: where they lie in a file, and some of them read again.

A file is surveyed once, from its first byte to its last; a part of it is then read from where it
begins, by whichever process answers it.
"""

from __future__ import annotations

import csv
import hashlib
import json
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import IO, TYPE_CHECKING, Any

from treadle.data.readers.parquet import parquet_file
from treadle.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

Row = dict[str, Any]
DELIMITERS = {".csv": ",", ".tsv": "\t"}
SUFFIXES = (".jsonl", ".ndjson", *DELIMITERS, ".parquet")


@dataclass(frozen=True, slots=True)
class Span:
    """Consecutive rows of a file: the number of the first, how many, and the byte they begin at.

    The byte is 0 in Parquet, where rows have no bytes of their own.
    """

    first: int
    rows: int
    offset: int


@dataclass(frozen=True, slots=True)
class Surveyed:
    """A file by its content, cut into spans."""

    sha256: str
    bytes: int
    rows: int
    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Malformed:
    """A place where a row should be: its text, and what is wrong with it."""

    text: str
    error: str


def survey(path: Path, column: str, size: int) -> Surveyed:
    """Digest and rows of a file, in spans of at most `size` rows.

    Raises InputError for a file of another kind, one that cannot be read, and one whose header
    lacks the column.
    """
    if path.suffix not in SUFFIXES:
        raise InputError(
            f"expected files of rows ({', '.join(SUFFIXES)}) by their names, got {path}"
        )
    with _reading(path):
        if path.suffix == ".parquet":
            return _survey_parquet(path, column, size)
        return _survey_text(path, column, size)


def read_span(path: Path, span: Span, size: int) -> Iterator[Row | Malformed]:
    """The rows of a span, in order, of a file that had `size` bytes when it was surveyed.

    Raises InputError where it has another size or other rows now, or cannot be read.
    """
    with _reading(path):
        if (found := path.stat().st_size) != size:
            raise InputError(_changed(path, f"{size:,} bytes", f"{found:,}"))
        count = 0
        rows = _rows_of_parquet if path.suffix == ".parquet" else _rows_of_text
        for row in rows(path, span, size):
            count += 1
            yield row
        if count != span.rows:
            expected = f"{span.rows} rows from row {span.first} on"
            raise InputError(_changed(path, expected, str(count)))


def _changed(path: Path, expected: str, got: str) -> str:
    return (
        f"{path}: expected {expected}, got {got}; it has changed since the plan was made: score it "
        "into another directory"
    )


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(f"cannot read {path}: {error}") from error


class _Lines:
    """The lines of a file as text, and how many bytes of it they took so far."""

    def __init__(self, file: IO[bytes], seen: Callable[[bytes], None] = lambda _: None) -> None:
        self._file, self._seen = file, seen
        self.position = file.tell()

    def __iter__(self) -> Iterator[str]:
        for line in self._file:
            self._seen(line)
            self.position += len(line)
            yield line.decode("utf-8", "surrogateescape")


def _records(path: Path, lines: _Lines) -> Iterator[Any]:
    """What is on each row, as it stands there: a line of JSON, or the fields of a table.

    An empty line is no row.
    """
    if path.suffix in DELIMITERS:
        # It takes as many lines as a record has, and none before it is asked.
        reader = csv.reader(iter(lines), delimiter=DELIMITERS[path.suffix])
        try:
            yield from filter(None, reader)
        except csv.Error as error:
            place = f"{path}, line {reader.line_num}"
            raise InputError(f"{place}: expected a table: {error}") from error
    else:
        yield from filter(str.strip, iter(lines))


def _survey_text(path: Path, column: str, size: int) -> Surveyed:
    digest, starts, count = hashlib.sha256(), [0], 0
    with path.open("rb") as file:
        lines = _Lines(file, digest.update)
        records = _records(path, lines)
        if path.suffix in DELIMITERS:
            _check_header(path, _header(path, records), column)
            starts = [lines.position]
        for _ in records:
            count += 1
            if count % size == 0:
                starts.append(lines.position)
    spans = [
        Span(first, min(size, count - first), starts[number])
        for number, first in enumerate(range(0, count, size))
    ]
    return Surveyed(digest.hexdigest(), lines.position, count, tuple(spans))


def _rows_of_text(path: Path, span: Span, _size: int) -> Iterator[Row | Malformed]:
    table = path.suffix in DELIMITERS
    header: list[str] = []
    with path.open("rb") as file:
        if table:
            header = _header(path, _records(path, _Lines(file)))
        file.seek(span.offset)
        records = _records(path, _Lines(file))
        for _, record in zip(range(span.rows), records, strict=False):
            yield _row_of_fields(header, record) if table else _row_of_line(record)


def _header(path: Path, records: Iterator[Any]) -> list[str]:
    names: list[str] = next(records, [])
    if names:
        names[0] = names[0].removeprefix("\ufeff")
    if len(set(names)) < len(names) or not names:
        raise InputError(f"{path}: expected a header of names that differ, got {names!r:.200}")
    return names


def _check_header(path: Path, names: list[str], column: str) -> None:
    if column not in names:
        raise InputError(
            f"{path}: expected a column {column!r}, got {', '.join(names)[:200]}; name another "
            "with --column"
        )


def _row_of_fields(header: list[str], fields: list[str]) -> Row | Malformed:
    if len(fields) != len(header):
        return Malformed(
            ",".join(fields), f"expected {len(header)} fields, as in the header, got {len(fields)}"
        )
    row = dict(zip(header, fields, strict=True))
    return row if _is_text("".join(fields)) else Malformed(str(row), "expected text in UTF-8")


def _row_of_line(line: str) -> Row | Malformed:
    line = line.removeprefix("\ufeff").strip()
    if not _is_text(line):
        return Malformed(line, "expected text in UTF-8")
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        return Malformed(line, f"expected a JSON object: {error}")
    return row if isinstance(row, dict) else Malformed(line, "expected a JSON object")


def _is_text(text: str) -> bool:
    """Whether it has no byte that is not UTF-8."""
    return not any("\udc80" <= character <= "\udcff" for character in text)


def _survey_parquet(path: Path, column: str, size: int) -> Surveyed:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    with parquet_file(path, InputError) as opened:
        _check_header(path, opened.schema_arrow.names, column)
        groups = [opened.metadata.row_group(i).num_rows for i in range(opened.num_row_groups)]
    spans, begin = [], 0
    for rows in groups:  # no span reaches into two groups, which are what can be read alone
        spans += [Span(begin + first, min(size, rows - first), 0) for first in range(0, rows, size)]
        begin += rows
    return Surveyed(digest, path.stat().st_size, begin, tuple(spans))


def _rows_of_parquet(path: Path, span: Span, size: int) -> Iterator[Row | Malformed]:
    begin = 0
    with parquet_file(path, InputError) as opened:
        for group in range(opened.num_row_groups):
            rows = opened.metadata.row_group(group).num_rows
            if begin <= span.first < begin + rows:
                table = _row_group(path, size, group)
                yield from table.slice(span.first - begin, span.rows).to_pylist()
                return
            begin += rows


@lru_cache(maxsize=1)
def _row_group(path: Path, _size: int, group: int) -> Any:
    """One group as a table; the last is kept, as the next span is likely to lie in it."""
    with parquet_file(path, InputError) as opened:
        return opened.read_row_group(group)
