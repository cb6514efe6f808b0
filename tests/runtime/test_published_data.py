"""The published data sets themselves, where they are on this machine: sizes, digests, content."""

from __future__ import annotations

import bz2
import functools
import gzip
import hashlib
import json
import lzma
import struct
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle import cli
from treadle.data import DATASETS, Dataset, Frames, Labelled, Pair, Series, Tagged, open_dataset
from treadle.data.catalogue import CATALOGUE, published
from treadle.data.entities import WNUT17
from treadle.data.folk_songs import read_tunes
from treadle.data.malformed import Malformed
from treadle.data.notes import PITCHES
from treadle.data.readers.rdata import read_factors
from treadle.data.registry import locate, standing
from treadle.data.small_talk import read_conversations
from treadle.data.speech import SPOKEN_DIGITS
from treadle.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

# What each has in train, validation and test, and the digest of its content.
EDITIONS = {
    "sigmorphon2021": (
        (33_344, 4_168, 4_168),
        "sha256:c3dba54bf83e14cfe63c5f1f41c65bee901d69f7d60a5771d23a0531ddd88c9a",
    ),
    "movie-reviews": (
        (8_058, 1_007, 1_007),
        "sha256:e103d4846e24512a42efd5d53b5470cd36f388294456cf5ac263d86e4b85a91d",
    ),
    "ud-english-ewt": (
        (12_544, 2_001, 2_077),
        "sha256:afdf3c4ff5c19eea3164cceae1d6b852b898e9d350629ccf7c8879cf4b44865a",
    ),
    "wnut17": (
        (3_394, 1_009, 1_287),
        "sha256:69b6c07f32137ad9adfebe599c090436a2396633c063be6b6bd8c09ee76aa952",
    ),
    "tanaka-enja": (
        (10_000, 500, 500),
        "sha256:f5577866c565d28faec27a514c87c882e6bb0c170ff83accb33958e804837e1b",
    ),
    "etth1": (
        (8_640, 2_880, 2_880),
        "sha256:171a3ca2e9f98bca6a640384f69457a6ba6448590e7abfa2265fe470f1de8c45",
    ),
    "spoken-digits": (
        (2_400, 300, 300),
        "sha256:82a90ddf9aadd01ca4202d2c7c95967f9a9a08a3b6e35876ec68a9c475a37d06",
    ),
    "connected-digits": (
        (3_842, 243, 242),
        "sha256:c7eb670d2f4a7e3713fa6d5c12891b928b306d0dda71305dcb910b85f37f8032",
    ),
    "japanese-vowels": (
        (243, 27, 370),
        "sha256:306bca650bf6b702034fe905657a978fcd339856fbb76a29600d3d2b43cd54b1",
    ),
    "splice-junctions": (
        (2_401, 300, 300),
        "sha256:ce6ff0e740be9e7d482ef8d6e08eb7abe97d38cf8f9666781f39d62f0ecf0d21",
    ),
    "folk-songs": (
        (6_109, 763, 763),
        "sha256:f26e36ce5788523cb3b4c98e4f1dbd3991fa0fb33da7cd26a7847f4831afa957",
    ),
    "chatterbot-corpus": (
        (813, 101, 101),
        "sha256:59f5c765fd92598934613cc540397044809d041216d20e5d43415645084e3ba3",
    ),
}


@functools.cache
def here(name: str, **options: Any) -> Dataset[Any]:
    if (found := published(name).standing()) != "here":
        pytest.skip(f"the data set {name} is {found}; `treadle data fetch {name}` says more")
    return open_dataset(name, options)


@pytest.mark.parametrize("name", EDITIONS)
def test_splits_and_digests_are_those_that_figures_are_measured_on(name: str) -> None:
    dataset = here(name)
    sizes, digest = EDITIONS[name]
    assert tuple(len(part) for part in dataset.splits.values()) == sizes
    assert list(dataset.splits) == ["train", "validation", "test"]
    assert dataset.digest == digest
    assert (dataset.licence, dataset.source) == (
        CATALOGUE[name].sources[0].licence,
        CATALOGUE[name].sources[0].home,
    )


def test_movie_reviews_are_positive_or_negative() -> None:
    dataset = here("movie-reviews")
    examples = [example for part in dataset.splits.values() for example in part]
    assert {type(example) for example in examples} == {Labelled}
    texts = {example.text: example.label for example in examples}
    assert texts["Effective but too tepid biopic"] == "negative"  # its mean score is -0.6
    assert {example.label for example in examples} == {"positive", "negative"}
    other = open_dataset("movie-reviews", {"seed": 1})
    assert other.digest != dataset.digest


def test_the_treebank_has_universal_and_penn_tags() -> None:
    dataset = here("ud-english-ewt")
    first = dataset.split("test")[0]
    assert first.tokens[:4] == ("What", "if", "Google", "Morphed")
    assert first.tags[:4] == ("PRON", "SCONJ", "PROPN", "VERB")
    assert len({tag for e in dataset.split("train") for tag in e.tags}) == 17
    assert sum(len(e.tokens) for part in dataset.splits.values() for e in part) == 254_818


def test_entities_are_of_six_kinds() -> None:
    dataset = here("wnut17")
    tags = {tag for part in dataset.splits.values() for e in part for tag in e.tags}
    kinds = {"person", "location", "corporation", "product", "creative-work", "group"}
    assert tags == {"O"} | {f"{begin}-{kind}" for begin in "BI" for kind in kinds}
    assert all(isinstance(example, Tagged) for example in dataset.split("test"))


def test_translation_goes_both_ways() -> None:
    forth, back = here("tanaka-enja"), open_dataset("tanaka-enja", {"source": "en"})
    one, other = forth.split("validation")[0], back.split("validation")[0]
    assert one == Pair("自分 の 事 を しろ 。", ("show your own business .",))
    assert other == Pair(one.targets[0], (one.source,))


def test_the_forecasting_splits_follow_each_other() -> None:
    dataset = here("etth1")
    parts = [dataset.split(name) for name in ("train", "validation", "test")]
    assert all(isinstance(part, Series) for part in parts)
    assert parts[0].channels == ("HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL", "OT")
    assert parts[0].values[0, -1] == np.float32(30.5310001373291)
    hour = np.timedelta64(1, "h")
    times = np.concatenate([part.times for part in parts])
    assert (np.diff(times) == hour).all()
    assert str(times[0]) == "2016-07-01T00:00:00.000000"


def test_spoken_digits_and_vowels_are_frames() -> None:
    digits, vowels = here("spoken-digits"), here("japanese-vowels")
    for dataset, features, labels in ((digits, 13, 10), (vowels, 12, 9)):
        examples: list[Frames] = [e for part in dataset.splits.values() for e in part]
        assert {e.values.shape[1] for e in examples} == {features}
        assert len({e.label for e in examples}) == labels
    speakers = [e.label for e in vowels.split("validation")]
    assert all(speakers.count(label) == 3 for label in set(speakers))


def test_strings_of_digits_keep_their_utterances_in_one_split() -> None:
    strings, spoken = here("connected-digits"), here("spoken-digits")
    for name, split in strings.splits.items():
        known = {one.values[0].tobytes() for one in spoken.split(name)}
        others = {
            one.values[0].tobytes()
            for other in spoken.splits
            for one in spoken.split(other)
            if other != name
        }
        assert {3, 4, 5, 6, 7} == {len(one.symbols) for one in split}
        assert all(one.values[0].tobytes() in known - others for one in split)


def test_donors_begin_with_gt_and_acceptors_end_in_ag() -> None:
    dataset = here("splice-junctions")
    examples = [example for part in dataset.splits.values() for example in part]
    assert {len(example.text) for example in examples} == {60}
    assert len({example.text for example in examples}) == len(examples)
    donors = [example.text[30:32] for example in examples if example.label == "ei"]
    acceptors = [example.text[28:30] for example in examples if example.label == "ie"]
    assert donors.count("GT") > 0.98 * len(donors)
    assert acceptors.count("AG") > 0.98 * len(acceptors)


def test_junctions_are_written_in_words_of_some_bases() -> None:
    whole, words = here("splice-junctions"), here("splice-junctions", letters=3)
    for one, other in zip(whole.split("test"), words.split("test"), strict=True):
        assert [len(word) for word in str(other.text).split(" ")] == [3] * 20
        assert (str(other.text).replace(" ", ""), other.label) == (one.text, one.label)
    with pytest.raises(DataError, match="has to divide 60; got 7: choose 1, 2, 3, 5 or 6"):
        here("splice-junctions", letters=7)


def test_the_corpus_of_conversations_says_what_it_left_out() -> None:
    dataset = here("chatterbot-corpus")
    assert dataset.skipped == 1
    sources = [pair.source for part in dataset.splits.values() for pair in part]
    assert len(set(sources)) == len(sources)


def test_conversations_that_are_none_are_named(tmp_path: Path) -> None:
    pytest.importorskip("yaml")
    path = tmp_path / "talk.yml"
    path.write_text("conversations:\n- - How are\n    you?\n  - Well.\n- alone\n- - 1\n  - 2\n")
    with pytest.raises(DataError, match=r"talk\.yml, conversation 2: .*got 'alone'"):
        read_conversations(path, Malformed())
    skipped = Malformed("skip")
    assert read_conversations(path, skipped) == [["How are you?", "Well."]]
    assert skipped.count == 2
    path.write_text("conversations: {a: [}")
    with pytest.raises(DataError, match="expected a YAML file"):
        read_conversations(path, skipped)
    path.write_text("- no\n- conversations")
    with pytest.raises(DataError, match="expected a list of conversations"):
        read_conversations(path, skipped)


def test_folk_songs_come_from_four_regions() -> None:
    dataset = here("folk-songs")
    assert dataset.skipped == 6
    examples = [example for part in dataset.splits.values() for example in part]
    assert {e.label for e in examples} == {"Deutschland", "China", "Lothringen", "Luxemburg"}
    assert all([token[:2] for token in e.text[:3]] == ["M:", "L:", "K:"] for e in examples)


def test_folk_songs_as_notes() -> None:
    here("folk-songs")
    dataset = open_dataset("folk-songs", {"notation": "notes"})
    examples = [example for part in dataset.splits.values() for example in part]
    assert [len(part) for part in dataset.splits.values()] == [6_103, 762, 762]
    assert len({e.text for e in examples}) == len(examples)
    assert all(e.text[0].startswith("M:") for e in examples)
    # Most tunes end on the tonic, or a fifth or a third from it.
    last = [next(t for t in reversed(e.text) if t[:-1] in PITCHES)[:-1] for e in examples]
    assert sum(name in ("C", "G", "E") for name in last) > 0.8 * len(last)


def test_tunes_that_are_none_are_named(tmp_path: Path) -> None:
    head = "O: China, Hunan\nM: 2/4\nL: 1/8\nK: G\n"
    good = f"X:1\nT: A song\n{head}d2A2 | (3=dd_A,3/2- z8 |]\nN: a note\n\n"
    path = tmp_path / "songs.abc"
    path.write_text(good + f"X:2\n{head}d2 ? A2\n\n" + good)
    with pytest.raises(DataError, match=r"songs\.abc:10: expected notes, rests and bars.*'\?'"):
        list(read_tunes(path, Malformed()))
    skipped = Malformed("skip")
    [first, again] = read_tunes(path, skipped)
    assert first == again
    assert first[0]["T"] == "A song"
    melody = ("d2", "A2", "|", "(3", "=d", "d", "_A,3/2-", "z8", "|]")
    assert first[1] == ("M:2/4", "L:1/8", "K:G", *melody)
    assert skipped.count == 1
    path.write_text("X:1\nM: 2/4\nL: 1/8\nK: G\nA2\n")
    with pytest.raises(DataError, match="expected the field O in the tune"):
        list(read_tunes(path, Malformed()))


def factor_file(values: bytes, levels: list[bytes]) -> bytes:
    """A file of R, version 2, with a data frame "f" of one factor "c"."""

    def text(word: bytes) -> bytes:
        return struct.pack(">ii", 9, len(word)) + word

    def words(items: list[bytes]) -> bytes:
        return struct.pack(">ii", 16, len(items)) + b"".join(map(text, items))

    def pair(name: bytes, value: bytes) -> bytes:
        return struct.pack(">ii", 0x402, 1) + text(name) + value

    end = struct.pack(">i", 254)
    codes = struct.pack(">ii", 0x20D, len(values)) + b"".join(struct.pack(">i", v) for v in values)
    factor = codes + pair(b"levels", words(levels)) + end
    frame = struct.pack(">ii", 0x213, 1) + factor + pair(b"names", words([b"c"])) + end
    return b"RDX2\nX\n" + struct.pack(">iii", 2, 0, 0) + pair(b"f", frame) + end


def test_factors_of_r_come_back(tmp_path: Path) -> None:
    content, path = factor_file(b"\1\2\1", [b"ei", b"n"]), tmp_path / "f.rda"
    for packed in (content, gzip.compress(content), lzma.compress(content), bz2.compress(content)):
        path.write_bytes(packed)
        assert read_factors(path, "f") == {"c": ["ei", "n", "ei"]}
    with pytest.raises(DataError, match="with a frame 'g'"):
        read_factors(path, "g")
    path.write_bytes(factor_file(b"\3", [b"ei", b"n"]))
    with pytest.raises(DataError, match="none of its levels"):
        read_factors(path, "f")


@given(place=st.integers(0, 200), byte=st.integers(0, 255), cut=st.booleans())
def test_damaged_data_of_r_is_an_error_of_the_tree(
    tmp_path_factory: pytest.TempPathFactory, place: int, byte: int, cut: bool
) -> None:
    content = bytearray(factor_file(b"\1\2\1", [b"ei", b"n"]))
    place %= len(content)
    content[place] = byte
    path = tmp_path_factory.getbasetemp() / "damaged.rda"
    path.write_bytes(content[:place] if cut else content)
    with suppress(DataError):
        assert set(read_factors(path, "f")) <= {"c", chr(byte)}


# The registry


def test_every_published_set_says_what_it_is() -> None:
    for name, entry in CATALOGUE.items():
        assert entry.name == name
        assert entry.size > 0
        for source in entry.sources:
            assert len(source.sha256) == 64
            assert source.licence
            assert source.home.startswith("https://")
            assert source.size
    texts = {"tiny-shakespeare", "war-and-peace", "glove"}
    own = {"text", "files", "made-up", "package-descriptions"}
    assert set(DATASETS) - own == set(CATALOGUE) - texts


@pytest.mark.parametrize("packed", [False, True])
def test_a_file_in_the_data_directory_may_be_packed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packed: bool
) -> None:
    content = b"a\tO\n"
    source = replace(WNUT17["test"], sha256=hashlib.sha256(content).hexdigest(), url=None)
    monkeypatch.setenv("TREADLE_DATA", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert standing(source) == "absent"
    path = tmp_path / "wnut17" / (source.file + ".gz" * packed)
    path.parent.mkdir()
    path.write_bytes(gzip.compress(content) if packed else content)
    assert locate(source) == path
    assert standing(source) == "here"
    path.write_bytes(gzip.compress(b"other") if packed else b"other")
    assert standing(source) == "another edition"
    with pytest.raises(DataError, match="expected the edition of wnut17"):
        locate(source)
    if packed:
        path.write_bytes(b"\x1f\x8bdamaged")
        with pytest.raises(DataError, match="cannot read"):
            locate(source)


def test_a_file_is_found_in_a_package_that_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = b"frames"
    package = tmp_path / "packages" / "some_speech"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('not to be run')")
    (package / "digits.npz").write_bytes(content)
    monkeypatch.syspath_prepend(str(package.parent))
    monkeypatch.setenv("TREADLE_DATA", str(tmp_path))
    digest = hashlib.sha256(content).hexdigest()
    source = replace(SPOKEN_DIGITS, sha256=digest, package=("some_speech", "digits.npz"))
    assert locate(source) == package / "digits.npz"


# The command


def test_the_command_lists_every_set(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["data", "list"]) == 0
    shown = capsys.readouterr().out
    assert all(f"\n{name} " in shown for name in CATALOGUE)
    assert cli.run(["data", "list", "--json"]) == 0
    entries = json.loads(capsys.readouterr().out)
    assert [entry["name"] for entry in entries] == list(CATALOGUE)
    assert set(entries[0]) == {"name", "what", "bytes", "licence", "home", "standing"}
    assert {entry["standing"] for entry in entries} <= {"here", "absent", "another edition"}


def test_the_command_fetches_or_says_how(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    content = b"a b\n"
    source = replace(
        CATALOGUE["glove"].sources[0], sha256=hashlib.sha256(content).hexdigest(), package=None
    )
    monkeypatch.setitem(CATALOGUE, "glove", replace(CATALOGUE["glove"], sources=(source,)))
    monkeypatch.setenv("TREADLE_DATA", str(tmp_path))
    assert cli.run(["data", "fetch", "glove"]) == 1
    place = "$TREADLE_DATA/glove/glove.6B.50d.top20k.txt.gz"
    assert f"put it at {place}" in capsys.readouterr().err
    path = tmp_path / "glove" / source.file
    path.parent.mkdir()
    path.write_bytes(content)
    assert cli.run(["data", "fetch", "glove", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"name": "glove", "files": [str(path)]}
    assert cli.run(["data", "fetch", "gloves"]) == 1
    assert "did you mean 'glove'?" in capsys.readouterr().err
