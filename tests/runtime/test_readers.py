"""Readers of file formats: what was written is read again, what is malformed is named."""

from __future__ import annotations

import csv
import gzip
import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.runtime.written import written
from treadle.data.examples import Frames, Labelled, Pair, Series, Tagged
from treadle.data.malformed import Malformed, Policy
from treadle.data.readers.columns import read_columns
from treadle.data.readers.conllu import read_conllu
from treadle.data.readers.fasta import read_fasta
from treadle.data.readers.frames import read_frames
from treadle.data.readers.json_lines import read_json_lines
from treadle.data.readers.lines import read_lines
from treadle.data.readers.parallel import read_parallel
from treadle.data.readers.parquet import read_parquet
from treadle.data.readers.series import read_series
from treadle.data.readers.table import read_table
from treadle.data.readers.time_series import read_time_series
from treadle.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

REVIEWS = {"text": "review", "label": "stars"}
# Any text that UTF-8 can write; what a line may hold besides has no ends of lines.
TEXT = st.text(st.characters(codec="utf-8"), min_size=1)
LINE = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\ufeff"))
WORD = st.text(st.characters(codec="utf-8", categories=["L", "N", "P"]), min_size=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("files")


# Lines


@given(lines=st.lists(LINE), end=st.sampled_from(["\n", "\r\n"]), packed=st.booleans())
def test_lines_come_back_with_their_numbers(
    folder: Path, lines: list[str], end: str, packed: bool
) -> None:
    content = "".join(line + end for line in lines).encode()
    path = written(folder, gzip.compress(content) if packed else content)
    assert list(read_lines(path)) == list(enumerate(lines, start=1))


def test_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    assert list(read_lines(written(tmp_path, b"\xef\xbb\xbfone\ntwo"))) == [(1, "one"), (2, "two")]


def test_a_line_that_is_no_utf8_is_named_or_left_out(tmp_path: Path) -> None:
    path = written(tmp_path, b"good\nb\xe9d\ngood again\n", "notes.txt")
    with pytest.raises(DataError, match=r"notes\.txt:2: expected UTF-8 text, got the byte 0xe9"):
        list(read_lines(path))
    skipped = Malformed("skip")
    assert list(read_lines(path, skipped)) == [(1, "good"), (3, "good again")]
    assert skipped.count == 1
    assert "notes.txt:2" in skipped.first[0]


def test_what_is_left_out_is_told_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = written(tmp_path, b"\xff\n" * 25)
    skipped = Malformed("skip")
    assert list(read_lines(path, skipped)) == []
    assert (skipped.count, len(skipped.first), len(caplog.records)) == (25, 10, 10)


def test_a_damaged_gzip_file_is_an_error_always(tmp_path: Path) -> None:
    whole = gzip.compress(b"a line\n" * 1000)
    for content in (whole[:-20], whole[:20] + b"\0\0\0\0" + whole[24:]):
        with pytest.raises(DataError, match="expected a whole gzip file"):
            list(read_lines(written(tmp_path, content), Malformed("skip")))


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot read .*gone: No such file"):
        list(read_lines(tmp_path / "gone"))


# Tables


@given(rows=st.lists(st.tuples(TEXT, WORD), min_size=1))
def test_csv_comes_back(folder: Path, rows: list[tuple[str, str]]) -> None:
    # A reader of lines cannot tell CR from CRLF inside a field once it has taken the end off.
    rows = [(text.replace("\r", " "), label) for text, label in rows]
    path = folder / "table.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([("review", "stars"), *rows])
    assert list(read_table(path, REVIEWS)) == [Labelled(text, label) for text, label in rows]


@given(rows=st.lists(st.tuples(WORD, WORD), min_size=1), header=st.booleans())
def test_tsv_comes_back(folder: Path, rows: list[tuple[str, str]], header: bool) -> None:
    lines = [f"{text}\t{label}\n" for text, label in rows]
    path = written(folder, "".join((["review\tstars\n"] if header else []) + lines))
    columns = REVIEWS if header else {"text": "0", "label": "1"}
    read = list(read_table(path, columns, kind="tsv", header=header))
    assert read == [Labelled(text, label) for text, label in rows]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("only one field", "expected 2 fields, got 1"),
        ("a,b,c", "expected 2 fields, got 3"),
        ("no label,", "expected a label for 'stars', text or an integer, got ''"),
        ('"quoted" and not,1', "expected a row of csv"),
    ],
)
def test_a_malformed_row_is_named_or_left_out(tmp_path: Path, row: str, message: str) -> None:
    path = written(tmp_path, f"review,stars\ngood,5\n{row}\nbad,1\n", "rows.csv")
    with pytest.raises(DataError, match=rf"rows\.csv:3: {message}"):
        list(read_table(path, REVIEWS))
    skipped = Malformed("skip")
    read = list(read_table(path, REVIEWS, malformed=skipped))
    assert read == [Labelled("good", "5"), Labelled("bad", "1")]
    assert skipped.count == 1


def test_a_table_without_a_column_is_an_error_always(tmp_path: Path) -> None:
    path = written(tmp_path, "review,score\ngood,5\n")
    with pytest.raises(DataError, match="expected a column 'stars', got review, score"):
        list(read_table(path, REVIEWS, malformed=Malformed("skip")))
    with pytest.raises(DataError, match="got 'a' twice"):
        list(read_table(written(tmp_path, "a,a\n1,2\n"), {"text": "a", "label": "a"}))
    with pytest.raises(DataError, match="got an empty file"):
        list(read_table(written(tmp_path, ""), REVIEWS))


def test_roles_say_the_kind_of_example(tmp_path: Path) -> None:
    path = written(tmp_path, "s,t,u\na b,X Y,c d\n")
    assert list(read_table(path, {"tokens": "s", "tags": "t"})) == [Tagged(("a", "b"), ("X", "Y"))]
    assert list(read_table(path, {"tokens": "s", "label": "t"})) == [Labelled(("a", "b"), "X Y")]
    pair = Pair("a b", ("X Y", "c d"))
    assert list(read_table(path, {"source": "s", "targets": ["t", "u"]})) == [pair]
    with pytest.raises(DataError, match="got source, tags"):
        list(read_table(path, {"source": "s", "tags": "t"}))
    with pytest.raises(DataError, match="expected one column for text"):
        list(read_table(path, {"text": ["s", "t"], "label": "u"}))


def test_tokens_without_a_tag_each_are_malformed(tmp_path: Path) -> None:
    path = written(tmp_path, "s,t\na b,X\n")
    with pytest.raises(DataError, match=":2: expected one of tags for each of 2 tokens, got 1"):
        list(read_table(path, {"tokens": "s", "tags": "t"}))


# JSON lines and Parquet


@given(rows=st.lists(st.tuples(TEXT, st.lists(TEXT, min_size=1, max_size=3)), min_size=1))
def test_json_lines_come_back(folder: Path, rows: list[tuple[str, list[str]]]) -> None:
    lines = [json.dumps({"from": source, "to": targets}) for source, targets in rows]
    path = written(folder, "\n".join(lines))
    read = list(read_json_lines(path, {"source": "from", "targets": "to"}))
    assert read == [Pair(source, tuple(targets)) for source, targets in rows]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "expected a JSON object"),
        ("[1]", r"expected a JSON object, got '\[1\]'"),
        ('{"review": "x"}', "expected a value for 'stars', got review"),
        ('{"review": 3, "stars": 1}', "expected text for 'review', got '3'"),
        ('{"review": "x", "stars": 0.5}', "expected a label for 'stars'.*got 0.5"),
        ("[" * 100_000, "expected a JSON object"),
        (r'{"review": "half \ud83d", "stars": 1}', "expected a JSON object: .* surrogates"),
    ],
)
def test_a_malformed_json_line_is_named_or_left_out(
    tmp_path: Path, line: str, message: str
) -> None:
    good = '{"review": "fine", "stars": 4, "more": null}'
    path = written(tmp_path, f"{good}\n\n{line}\n{good}\n", "rows.jsonl")
    with pytest.raises(DataError, match=rf"rows\.jsonl:3: {message}"):
        list(read_json_lines(path, REVIEWS))
    skipped = Malformed("skip")
    assert list(read_json_lines(path, REVIEWS, malformed=skipped)) == [Labelled("fine", "4")] * 2
    assert skipped.count == 1


def parquet(path: Path, table: dict[str, list[Any]]) -> Path:
    arrow = pytest.importorskip("pyarrow", reason="needs pyarrow (extra parquet)")
    from pyarrow import parquet as format_

    format_.write_table(arrow.table(table), path, row_group_size=2)
    return path


def test_parquet_comes_back(tmp_path: Path) -> None:
    rows: dict[str, list[Any]] = {
        "words": [["a", "b"], ["c"], ["d"]],
        "tags": [["X", "Y"], ["X"], ["Z"]],
        "id": [1, 2, 3],
    }
    path = parquet(tmp_path / "rows.parquet", rows)
    read = list(read_parquet(path, {"tokens": "words", "tags": "tags"}))
    assert read == [Tagged(("a", "b"), ("X", "Y")), Tagged(("c",), ("X",)), Tagged(("d",), ("Z",))]


def test_a_malformed_row_of_parquet_is_named_or_left_out(tmp_path: Path) -> None:
    path = parquet(tmp_path / "rows.parquet", {"review": ["fine", None], "stars": [4, 5]})
    with pytest.raises(DataError, match=r"rows\.parquet, row 2: expected a value for 'review'"):
        list(read_parquet(path, REVIEWS))
    skipped = Malformed("skip")
    assert list(read_parquet(path, REVIEWS, malformed=skipped)) == [Labelled("fine", "4")]
    assert skipped.count == 1
    with pytest.raises(DataError, match="expected a column 'text', got review, stars"):
        list(read_parquet(path, {"text": "text", "label": "stars"}))


def test_a_file_that_is_no_parquet_is_an_error(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="needs pyarrow (extra parquet)")
    with pytest.raises(DataError, match="expected a sound Parquet file"):
        list(read_parquet(written(tmp_path, "no parquet at all"), REVIEWS))


# Tagged sentences


def bio(kinds: list[tuple[str, int]]) -> list[str]:
    """Tags of entities of these kinds and lengths; a kind "O" is no entity."""
    return [
        "O" if kind == "O" else f"{'I' if place else 'B'}-{kind}"
        for kind, length in kinds
        for place in range(length)
    ]


ENTITIES = st.lists(
    st.tuples(st.sampled_from(["O", "person", "creative-work"]), st.integers(1, 3)), min_size=1
)


@given(sentences=st.lists(st.tuples(ENTITIES, st.randoms(use_true_random=False)), min_size=1))
def test_columns_come_back(folder: Path, sentences: list[tuple[Any, Any]]) -> None:
    expected, text = [], ""
    for kinds, draw in sentences:
        tags = bio(kinds)
        tokens = [draw.choice(["a", "été", "..", "#x"]) for _ in tags]
        expected.append(Tagged(tuple(tokens), tuple(tags)))
        text += "".join(f"{a} {b}\n" for a, b in zip(tokens, tags, strict=True)) + "\n"
    assert list(read_columns(written(folder, text))) == expected


def test_columns_may_be_many_and_documents_begin(tmp_path: Path) -> None:
    text = "-DOCSTART- -X- O O\n\nEU NNP B-NP B-ORG\nrejects VBZ B-VP O\n\t\nPeter NNP B-NP B-PER"
    read = list(read_columns(written(tmp_path, text), layers={"pos": 1}))
    assert read == [
        Tagged(("EU", "rejects"), ("B-ORG", "O"), {"pos": ("NNP", "VBZ")}),
        Tagged(("Peter",), ("B-PER",), {"pos": ("NNP",)}),
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("alone", "expected 2 columns, got 'alone'"),
        ("too\tmany\tO", "expected 2 columns"),
        ("x\tI-person", "expected O, B-KIND, or I-KIND inside its entity, got 'I-person' behind"),
        ("x\tB-", "got 'B-' behind 'O'"),
        ("x\tperson", "got 'person'"),
    ],
)
def test_a_malformed_sentence_is_named_or_left_out(tmp_path: Path, line: str, message: str) -> None:
    path = written(tmp_path, f"a\tO\n\nb\tO\n{line}\nc\tO\n\nd\tB-group\n", "wnut.conll")
    with pytest.raises(DataError, match=rf"wnut\.conll:4: .*{message}"):
        list(read_columns(path, separator="\t"))
    skipped = Malformed("skip")
    read = list(read_columns(path, separator="\t", malformed=skipped))
    assert read == [Tagged(("a",), ("O",)), Tagged(("d",), ("B-group",))]
    assert skipped.count == 1


CONLLU = """# sent_id = 1
# text = I don't
1\tI\tI\tPRON\tPRP\t_\t2\tnsubj\t_\t_
2-3\tdon't\t_\t_\t_\t_\t_\t_\t_\t_
2\tdo\tdo\tAUX\tVBP\t_\t0\troot\t_\t_
3\tn't\tnot\tPART\tRB\t_\t2\tadvmod\t_\t_
3.1\tgo\tgo\tVERB\tVB\t_\t_\t_\t_\t_

"""


def test_conllu_gives_syntactic_words(tmp_path: Path) -> None:
    pytest.importorskip("conllu")
    path = written(tmp_path, CONLLU * 2)
    tokens = ("I", "do", "n't")
    assert list(read_conllu(path)) == [Tagged(tokens, ("PRON", "AUX", "PART"))] * 2
    [one, _] = read_conllu(path, tags="xpos", layers=["lemma"])
    assert one == Tagged(tokens, ("PRP", "VBP", "RB"), {"lemma": ("I", "do", "not")})


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("2\tdo\tdo\tAUX", "2\tdo\tAUX", ":5: expected 10 fields between tabs, got 9"),
        ("3\tn't\tnot", "4\tn't\tnot", ':6: expected the word with the id 3, got "n\'t"'),
        ("do\tAUX", "do\t_", ":5: expected a tag in upos, got 'do'"),
        ("1\tI\tI", "one\tI\tI", ":3: expected a sentence that begins here: .*'one'"),
    ],
)
def test_malformed_conllu_is_named_or_left_out(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    pytest.importorskip("conllu")
    path = written(tmp_path, CONLLU.replace(old, new) + CONLLU)
    with pytest.raises(DataError, match=message):
        list(read_conllu(path))
    skipped = Malformed("skip")
    assert len(list(read_conllu(path, malformed=skipped))) == 1
    assert skipped.count == 1


# Parallel text


@given(rows=st.lists(st.tuples(WORD, WORD, WORD), min_size=1))
def test_parallel_text_comes_back(folder: Path, rows: list[tuple[str, str, str]]) -> None:
    paths = [written(folder, "".join(f"{row[k]}\n" for row in rows), f"text.{k}") for k in range(3)]
    read = list(read_parallel(paths[0], paths[1:]))
    assert read == [Pair(source, (one, two)) for source, one, two in rows]


def test_files_of_unlike_length_are_an_error_always(tmp_path: Path) -> None:
    source, target = written(tmp_path, "a\nb\n", "a.ja"), written(tmp_path, "a\nb\nc\n", "a.en")
    message = r"as many lines in .*a\.ja as in .*a\.en, got 2 and at least 3"
    with pytest.raises(DataError, match=message):
        list(read_parallel(source, [target], malformed=Malformed("skip")))


def test_an_empty_line_of_parallel_text_is_named_or_left_out(tmp_path: Path) -> None:
    source = written(tmp_path, b"a\nb\n\xff\nd\n", "a.ja")
    target = written(tmp_path, "A\n \nC\nD\n", "a.en")
    with pytest.raises(DataError, match=r"a\.en:2: expected text, got an empty line"):
        list(read_parallel(source, [target]))
    skipped = Malformed("skip")
    read = list(read_parallel(source, [target], malformed=skipped))
    assert read == [Pair("a", ("A",)), Pair("d", ("D",))]
    assert skipped.count == 2


# FASTA


@given(st.lists(st.tuples(st.text("ACGTN", min_size=1), st.sampled_from(["EI", "IE", "N"]))))
def test_fasta_comes_back(folder: Path, records: list[tuple[str, str]]) -> None:
    text = ""
    for number, (sequence, label) in enumerate(records):
        lines = [sequence[k : k + 5].lower() for k in range(0, len(sequence), 5)]
        text += "\n".join([f">seq{number} {label}", *lines]) + "\n\n"
    read = list(read_fasta(written(folder, text)))
    assert read == [Labelled(sequence, label) for sequence, label in records]


def test_a_header_may_have_another_separator(tmp_path: Path) -> None:
    path = written(tmp_path, ">EI|x\nMKV\n")
    assert list(read_fasta(path, label=0, separator="|", letters="MKV")) == [Labelled("MKV", "EI")]


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (">alone\nACGT", ":3: expected a label at the place 1 of the header"),
        (">x EI\nACXT", ":3: expected a sequence of .* got 'X'"),
        (">x EI", ":3: expected a sequence of .* got none"),
    ],
)
def test_a_malformed_record_is_named_or_left_out(tmp_path: Path, record: str, message: str) -> None:
    path = written(tmp_path, f">a N\nAC\n{record}\n>b N\nGT\n", "dna.fasta")
    with pytest.raises(DataError, match=rf"dna\.fasta{message}"):
        list(read_fasta(path))
    skipped = Malformed("skip")
    assert list(read_fasta(path, malformed=skipped)) == [Labelled("AC", "N"), Labelled("GT", "N")]
    assert skipped.count == 1


def test_a_sequence_without_a_header_is_malformed(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=":1: expected a header that begins with >, got 'ACGT'"):
        list(read_fasta(written(tmp_path, "ACGT\n>a N\nAC\n")))


# Examples


def test_examples_that_do_not_hold_together_are_refused() -> None:
    values = np.zeros((2, 3), np.float32)
    with pytest.raises(DataError, match="expected one of pos for each of 1 tokens, got 2"):
        Tagged(("a",), ("X",), {"pos": ("N", "N")})
    with pytest.raises(DataError, match="expected a target for the source 'a', got none"):
        Pair("a", ())
    with pytest.raises(DataError, match="expected names for 3 channels, got 1"):
        Series(values, ("a",))
    with pytest.raises(DataError, match="expected 2 times"):
        Series(values, ("a", "b", "c"), np.array(["2016-07-01"], "datetime64[D]"))
    with pytest.raises(DataError, match="with a label or with symbols, got both"):
        Frames(values, "a", ("b",))
    with pytest.raises(DataError, match=r"at least one step, got float32 \[0, 3\]"):
        Frames(values[:0])


# Files from anywhere

READERS: dict[str, Callable[[Path, Malformed], Iterable[object]]] = {
    "csv": lambda path, skip: read_table(path, REVIEWS, malformed=skip),
    "tsv": lambda path, skip: read_table(
        path, {"text": "0", "label": "1"}, kind="tsv", header=False, malformed=skip
    ),
    "jsonl": lambda path, skip: read_json_lines(path, REVIEWS, malformed=skip),
    "columns": lambda path, skip: read_columns(path, malformed=skip),
    "conllu": lambda path, skip: read_conllu(path, malformed=skip),
    "parallel": lambda path, skip: read_parallel(path, [path], malformed=skip),
    "frames": lambda path, skip: read_frames(path, malformed=skip),
    "series": lambda path, skip: [read_series(path, malformed=skip)],
    "ts": lambda path, skip: read_time_series(path, malformed=skip),
    "fasta": lambda path, skip: read_fasta(path, malformed=skip),
    "parquet": lambda path, skip: read_parquet(path, REVIEWS, malformed=skip),
}
PIECES = st.sampled_from(
    [
        *(b"review,stars\n", b"1\ta\tb", b"\t_" * 7, b"\n", b"\n\n", b"x B-y", b'"', b'{"review":'),
        *(
            b"}",
            b">a EI",
            b"ACGT",
            b"\x1f\x8b",
            b"\xff",
            b"\0",
            b"PK\x03\x04",
            b"\x93NUMPY",
            b"PAR1",
        ),
        *(
            b"@data\n",
            b"@classLabel true 1\n",
            b"1,2:1",
            b"\r",
            b"\xef\xbb\xbf",
            "é\u2028".encode(),
        ),
    ]
)


@pytest.mark.parametrize("name", READERS)
@given(content=st.lists(PIECES | st.binary(max_size=8), max_size=12).map(b"".join))
def test_any_file_gives_examples_or_an_error_of_the_tree(
    folder: Path, name: str, content: bytes
) -> None:
    if name in ("parquet", "conllu"):
        pytest.importorskip({"parquet": "pyarrow"}.get(name, name))
    path = written(folder, content, f"any.{name}")
    for policy in get_args(Policy):
        with suppress(DataError):
            assert all(example is not None for example in READERS[name](path, Malformed(policy)))
