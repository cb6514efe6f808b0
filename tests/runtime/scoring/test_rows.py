"""Rows of files, cut into spans and read again, are what the usual readers make of the file."""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle.errors import InputError
from treadle.scoring.rows import Malformed, read_span, survey

# What a table may hold: quotes, delimiters, line ends and letters of two bytes.
FIELDS = st.text(st.sampled_from('ab,"\n\r\t ä\u2028'), max_size=6)
TABLES = st.lists(st.tuples(FIELDS, FIELDS), max_size=12)
SIZES = st.integers(1, 5)


def spans_of(path: Path, size: int) -> list[Any]:
    """All rows, span by span, each span read alone and the last one first."""
    surveyed = survey(path, "text", size)
    assert surveyed.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert surveyed.bytes == path.stat().st_size
    assert all(1 <= span.rows <= size for span in surveyed.spans)
    read = {
        span.first: list(read_span(path, span, surveyed.bytes)) for span in reversed(surveyed.spans)
    }
    rows = [row for first in sorted(read) for row in read[first]]
    assert len(rows) == surveyed.rows
    return rows


@given(TABLES, SIZES, st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_a_table_in_spans_is_the_table(
    table: list[Any], size: int, line_end: str, quoted: bool
) -> None:
    if not quoted:  # a writer leaves a lone carriage return bare, which is no field
        table = [[field.replace("\r", "") for field in row] for row in table]
    quoting: Literal[0, 1] = csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL
    with TemporaryDirectory() as folder:
        path = Path(folder) / "rows.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator=line_end, quoting=quoting)
            writer.writerows([("id", "text"), *table])
        with path.open(newline="", encoding="utf-8") as file:
            expected = list(csv.DictReader(file))
        assert spans_of(path, size) == expected


@given(st.lists(FIELDS, max_size=12), SIZES, st.booleans())
def test_lines_of_json_in_spans_are_the_lines(texts: list[str], size: int, ended: bool) -> None:
    lines = [json.dumps({"text": text}, ensure_ascii=False) for text in texts]
    with TemporaryDirectory() as folder:
        path = Path(folder) / "rows.jsonl"
        # An empty line is no row, and the last may lack its end.
        path.write_bytes(("\n\n".join(lines) + "\n" * ended).encode())
        assert spans_of(path, size) == [{"text": text} for text in texts]


@given(st.lists(FIELDS, min_size=1, max_size=12), SIZES, st.integers(1, 5))
def test_parquet_in_spans_is_the_table(texts: list[str], size: int, group: int) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="needs pyarrow (extra parquet)")
    from pyarrow import parquet

    with TemporaryDirectory() as folder:
        path = Path(folder) / "rows.parquet"
        table = pyarrow.table({"text": texts, "id": list(range(len(texts)))})
        parquet.write_table(table, path, row_group_size=group)
        assert spans_of(path, size) == table.to_pylist()


def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("\ufefftext,id\nab,1\n".encode())
    (tmp_path / "a.jsonl").write_bytes('\ufeff{"text": "ab"}\n'.encode())
    assert spans_of(tmp_path / "a.csv", 2) == [{"text": "ab", "id": "1"}]
    assert spans_of(tmp_path / "a.jsonl", 2) == [{"text": "ab"}]


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (b"nonsense", "expected a JSON object: Expecting value"),
        (b'["ab"]', "expected a JSON object"),
        (b'{"text": "\xff"}', "expected text in UTF-8"),
        (b"[" * 100_000, "expected a JSON object"),
    ],
)
def test_a_line_that_is_no_object_has_its_row(tmp_path: Path, line: bytes, error: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"text": "a"}\n' + line + b'\n{"text": "b"}\n')
    first, second, third = spans_of(path, 2)
    assert (first, third) == ({"text": "a"}, {"text": "b"})
    assert isinstance(second, Malformed)
    assert second.error.startswith(error)


def test_a_row_with_other_fields_than_the_header_has_its_row(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_bytes(b"id\ttext\n1\tab\n2\n3\tc\td\n4\t\xff\n")
    rows = spans_of(path, 2)
    assert rows[0] == {"id": "1", "text": "ab"}
    errors = [row.error for row in rows[1:]]
    assert errors[0] == "expected 2 fields, as in the header, got 1"
    assert errors[1] == "expected 2 fields, as in the header, got 3"
    assert errors[2] == "expected text in UTF-8"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"ab\n", "expected files of rows (.jsonl, "),
        ("a.csv", b"id,word\n1,ab\n", "expected a column 'text', got id, word"),
        ("a.csv", b"", "expected a header of names that differ"),
        ("a.csv", b"text\na\rb\n", "a.csv, line 2: expected a table: new-line character"),
        ("a.csv", b"text,text\n", "expected a header of names that differ"),
        ("a.parquet", b"PAR1 or not", "expected a sound Parquet file"),
    ],
)
def test_a_file_of_another_kind_is_refused(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    if name == "a.parquet":
        pytest.importorskip("pyarrow", reason="needs pyarrow (extra parquet)")
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as caught:
        survey(tmp_path / name, "text", 2)
    assert message in str(caught.value)


def test_a_file_that_lost_rows_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"text": "a"}\n{"text": "b"}\n')
    [span] = survey(path, "text", 2).spans
    path.write_bytes(b'{"text": "a"}\n')
    with pytest.raises(InputError, match="expected 28 bytes, got 14; it has changed since"):
        list(read_span(path, span, 28))
    with pytest.raises(InputError, match="expected 2 rows from row 0 on, got 1"):
        list(read_span(path, span, 14))
    path.unlink()
    with pytest.raises(InputError, match="cannot read"):
        list(read_span(path, span, 14))


def test_text_that_is_not_utf_8_in_parquet_is_refused(tmp_path: Path) -> None:
    reason = "needs pyarrow (extra parquet)"
    pyarrow = pytest.importorskip("pyarrow", reason=reason)
    parquet = pytest.importorskip("pyarrow.parquet", reason=reason)
    path = tmp_path / "a.parquet"
    parquet.write_table(pyarrow.table({"text": pyarrow.array([b"\xff"]).view("string")}), path)
    surveyed = survey(path, "text", 2)
    with pytest.raises(InputError, match=r"a\.parquet: expected a sound Parquet file: .*utf-8"):
        list(read_span(path, surveyed.spans[0], surveyed.bytes))
