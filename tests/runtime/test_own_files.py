"""The data set "files": a user's own files, described by the options of a recipe."""

from __future__ import annotations

import json
import tomllib
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle.data import Frames, Labelled, Pair, Series, Tagged, open_dataset
from treadle.data.dataset import digest_of
from treadle.data.splitting import shuffled_splits, split_counts
from treadle.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def opened(toml: str) -> Any:
    return open_dataset("files", tomllib.loads(toml))


REVIEWS = "text,label\n" + "".join(f"review {k},{'good' if k % 2 else 'bad'}\n" for k in range(20))
ONE_CSV = 'format = "csv"\npath = "all.csv"\ncolumns = { text = "text", label = "label" }\n'


def test_one_file_is_cut_into_seeded_shares(tmp_path: Path) -> None:
    (tmp_path / "all.csv").write_text(REVIEWS)
    dataset = opened(ONE_CSV + "shares = [0.5, 0.25, 0.25]\nseed = 3\n")
    sizes = {name: len(part) for name, part in dataset.splits.items()}
    assert sizes == {"train": 10, "validation": 5, "test": 5}
    every = [example for part in dataset.splits.values() for example in part]
    assert set(every) == {Labelled(f"review {k}", "good" if k % 2 else "bad") for k in range(20)}
    assert dataset.digest == opened(ONE_CSV + "shares = [0.5, 0.25, 0.25]\nseed = 3\n").digest
    assert dataset.digest != opened(ONE_CSV + "shares = [0.5, 0.25, 0.25]\nseed = 4\n").digest
    assert [len(part) for part in opened(ONE_CSV).splits.values()] == [16, 2, 2]


def test_a_data_set_opens_again_by_its_own_options(tmp_path: Path) -> None:
    # A bundle keeps them, and is evaluated on what they open.
    (tmp_path / "all.csv").write_text(REVIEWS)
    dataset = opened(ONE_CSV + 'shares = [0.5, 0.25, 0.25]\nseed = 3\nmalformed = "skip"')
    kept = json.loads(json.dumps(dict(dataset.options)))
    again = open_dataset("files", kept)
    assert (again.digest, again.splits) == (dataset.digest, dataset.splits)


def test_splits_may_be_files_of_their_own(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / f"{name}.ja").write_text(f"{name} 1\n{name} 2\n")
        (tmp_path / f"{name}.en").write_text(f"{name} one\n{name} two\n")
    dataset = opened(
        'format = "parallel"\ntrain = ["a.ja", "a.en"]\nvalidation = ["b.ja", "b.en"]\n'
        'test = ["c.ja", "c.en"]'
    )
    assert dataset.split("validation") == [Pair("b 1", ("b one",)), Pair("b 2", ("b two",))]
    assert dataset.source == "a.ja and a.en, b.ja and b.en, c.ja and c.en"


def test_what_is_left_out_is_counted(tmp_path: Path) -> None:
    (tmp_path / "all.csv").write_text(REVIEWS + "no label\nworse\n")
    with pytest.raises(DataError, match=r"all\.csv:22: expected 2 fields, got 1"):
        opened(ONE_CSV)
    dataset = opened(ONE_CSV + 'malformed = "skip"')
    assert dataset.skipped == 2
    assert sum(len(part) for part in dataset.splits.values()) == 20


def test_text_and_series_are_cut_in_order(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("0123456789" * 2)
    text = opened('format = "text"\npath = "text.txt"')
    assert list(text.splits.values()) == ["0123456789012345", "67", "89"]
    rows = "".join(f"2020-01-01 {hour:02}:00,{hour}\n" for hour in range(10))
    (tmp_path / "hours.csv").write_text("when,load\n" + rows)
    series = opened('format = "series"\npath = "hours.csv"\ncolumns = { time = "when" }')
    assert all(isinstance(part, Series) for part in series.splits.values())
    assert series.split("test").values.tolist() == [[9]]
    assert series.split("train").channels == ("load",)


def test_every_format_opens(tmp_path: Path) -> None:
    lines = [f"a{k} X" for k in range(10)]
    (tmp_path / "tags.conll").write_text("\n\n".join(lines))
    (tmp_path / "dna.fasta").write_text("".join(f">{k} EI\nACGT\n" for k in range(10)))
    (tmp_path / "rows.tsv").write_text("".join(f"w{k}\tx\n" for k in range(10)))
    (tmp_path / "rows.jsonl").write_text('{"s": "a b", "t": ["X", "Y"]}\n' * 10)
    np.savez(tmp_path / "frames.npz", X=np.zeros((10, 2, 3)), y=np.arange(10))
    np.save(tmp_path / "series.npy", np.zeros((10, 2)))

    def first(toml: str) -> Any:
        return next(iter(opened(toml).split("train")))

    assert isinstance(
        first('format="columns"\npath="tags.conll"\ncolumns={scheme="any", tags=1}'), Tagged
    )
    assert first('format="fasta"\npath="dna.fasta"') == Labelled("ACGT", "EI")
    row = first('format="tsv"\npath="rows.tsv"\nheader=false\ncolumns={text="0", label="1"}')
    assert row.label == "x"
    assert first('format="jsonl"\npath="rows.jsonl"\ncolumns={tokens="s", tags="t"}') == Tagged(
        ("a", "b"), ("X", "Y")
    )
    frames = first('format="frames"\npath="frames.npz"\ncolumns={frames="X", labels="y"}')
    assert isinstance(frames, Frames)
    assert isinstance(opened('format="series"\npath="series.npy"').split("test"), Series)


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ("", "the data set files needs the option 'format', one of 'text', 'csv'"),
        ('format = "cvs"', "'format' of the data set files should be one of .*, got 'cvs'"),
        ('format = "csv"', "takes either path, .*; got none of them"),
        ('format = "csv"\npath = "a"\ntest = "b"', "got test, path"),
        ('format = "csv"\ntrain = "a"', "got train"),
        ('format = "csv"\npaht = "a"', "called 'paht'.*did you mean 'path'"),
        ('format = "csv"\npath = "a"\nseed = "1"', "should be an integer, got '1'"),
        ('format = "csv"\npath = "a"\nshares = ["1"]', "should be a list, each a number or null"),
        ('format = "csv"\npath = "a"\ncolumns = 3', "should be a table, each value a string or"),
        ('format = "csv"\npath = "a"\nmalformed = "ignore"', "one of 'error', 'skip'"),
        ('format = "csv"\npath = "a"\nheader = 0', "should be true or false, got 0"),
        ('format = "csv"\npath = "a"\ncolumns = { txt = "t" }', "'txt'.*did you mean 'text'"),
        ('format = "ts"\npath = "a"\nheader = false', "only csv and tsv may lack a header"),
        ('format = "columns"\npath = "a"\ncolumns = { tags = "1" }', "should be an integer"),
        ('format = "conllu"\npath = "a"\ncolumns = { tags = "pos" }', "one of 'lemma', 'upos'"),
        ('format = "parallel"\npath = "a"', "a list of two files or more, got 'a'"),
        ('format = "csv"\npath = ["a", "b"]\ncolumns = { text = "t", label = "l" }', "one file"),
        ('format = "jsonl"\npath = "empty"\ncolumns = { text = "t", label = "l" }', "got none"),
        (ONE_CSV + "shares = [0.5, 0.5]", "three shares above 0 that add up to 1"),
        (ONE_CSV + "shares = [0.9, 0.2, 0.1]", "three shares above 0 that add up to 1"),
        (ONE_CSV + "shares = [0.98, 0.01, 0.01]", "leave the split validation empty"),
        (ONE_CSV.replace("all.csv", "gone.csv"), r"cannot read gone\.csv"),
    ],
)
def test_wrong_options_say_what_is_expected(tmp_path: Path, toml: str, message: str) -> None:
    (tmp_path / "all.csv").write_text(REVIEWS)
    (tmp_path / "empty").write_text("")
    with pytest.raises(DataError, match=message):
        opened(toml)


@given(total=st.integers(10, 10_000), seed=st.integers(0, 5))
def test_shuffled_splits_lose_nothing(total: int, seed: int) -> None:
    splits = shuffled_splits(range(total), seed)
    assert sorted(k for part in splits.values() for k in part) == list(range(total))
    assert {name: len(part) for name, part in splits.items()} == split_counts(
        total, (0.8, 0.1, 0.1)
    )
    assert len(splits["test"]) == total // 10


ARRAY = np.zeros((2, 1), np.float32)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Labelled("a b", "x"), Labelled(("a b",), "x")),
        (Labelled("a", "bc"), Labelled("ab", "c")),
        (Tagged(("a",), ("X",)), Tagged(("a",), ("X",), {"pos": ("N",)})),
        (Pair("a", ("b", "c")), Pair("a", ("b c",))),
        (Frames(ARRAY), Frames(ARRAY, "x")),
        (Frames(ARRAY), Frames(ARRAY.T.copy())),
        (Series(ARRAY, ("a",)), Series(ARRAY, ("b",))),
        (Series(ARRAY, ("a",)), Series(ARRAY, ("a",), np.arange(2).astype("datetime64[s]"))),
        (Series(ARRAY, ("a",)), Series(ARRAY + 1, ("a",))),
    ],
)
def test_unlike_examples_have_unlike_digests(one: Any, other: Any) -> None:
    assert digest_of({"train": [one]}) != digest_of({"train": [other]})
    assert digest_of({"train": [one]}) != digest_of({"test": [one]})
    assert digest_of({"train": [one]}) == digest_of({"train": [one]})
