"""Pre-trained vectors: every format gives the same matrix, and says how much it covers."""

from __future__ import annotations

import gzip
import struct
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle.data.catalogue import published
from treadle.data.malformed import Malformed
from treadle.data.registry import GLOVE, locate
from treadle.errors import DataError
from treadle.vocabulary import Vocabulary
from treadle_train.embeddings import load_embeddings

if TYPE_CHECKING:
    from pathlib import Path

WORDS = ("the", "House", "cat")
VECTORS = np.array([[1, 2], [0.5, -0.25], [3e-5, 1e5]], np.float32)
FORMATS = ["glove", "word2vec", "word2vec-binary"]


def encoded(kind: str, words: tuple[str, ...] = WORDS, vectors: Any = VECTORS) -> bytes:
    """A file of the format with these words."""
    header = b"" if kind == "glove" else f"{len(words)} {vectors.shape[1]}\n".encode()
    if kind == "word2vec-binary":
        rows = [
            w.encode() + b" " + v.astype("<f4").tobytes()
            for w, v in zip(words, vectors, strict=True)
        ]
        return header + b"\n".join(rows) + b"\n"
    lines = [f"{w} {' '.join(map(str, v.tolist()))}" for w, v in zip(words, vectors, strict=True)]
    return header + "\n".join(lines).encode() + b"\n"


def vocabulary(*symbols: str) -> Vocabulary:
    return Vocabulary(["<padding>", "<unknown>", *symbols], "symbols", padding=0, unknown=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("vectors")


@given(
    words=st.lists(
        st.text(st.characters(codec="utf-8", categories=["L", "N", "P"]), min_size=1),
        min_size=1,
        max_size=5,
        unique=True,
    ),
    size=st.integers(1, 4),
    kind=st.sampled_from(FORMATS),
    packed=st.booleans(),
)
def test_vectors_come_back(
    folder: Path, words: list[str], size: int, kind: Any, packed: bool
) -> None:
    vectors = np.random.default_rng(size).normal(size=(len(words), size)).astype(np.float32)
    content = encoded(kind, tuple(words), vectors)
    path = folder / "vectors"
    path.write_bytes(gzip.compress(content) if packed else content)
    read = load_embeddings(path, vocabulary(*reversed(words)), format=kind)
    np.testing.assert_array_equal(read.matrix[2:], vectors[::-1])
    np.testing.assert_array_equal(read.matrix[:2], 0)
    assert read.found.tolist() == [False, False] + [True] * len(words)
    assert (read.coverage.share, read.coverage.missing) == (1, ())


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("packed", [False, True])
def test_formats_are_told_apart(tmp_path: Path, kind: str, packed: bool) -> None:
    content = encoded(kind)
    name = "vectors" + (".bin" if kind == "word2vec-binary" else ".vec") + ".gz" * packed
    (tmp_path / name).write_bytes(gzip.compress(content) if packed else content)
    read = load_embeddings(tmp_path / name, vocabulary("cat", "dog"))
    np.testing.assert_array_equal(read.matrix, [[0, 0], [0, 0], VECTORS[2], [0, 0]])
    assert read.matrix.dtype == np.float32
    assert read.coverage.missing == ("dog",)


def test_binary_vectors_need_no_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "vectors.bin"
    path.write_bytes(b"2 1\nthe " + struct.pack("<f", 1) + b"cat " + struct.pack("<f", 2))
    assert load_embeddings(path, vocabulary("the", "cat")).matrix.tolist() == [[0], [0], [1], [2]]


def test_coverage_counts_symbols_and_occurrences(tmp_path: Path) -> None:
    path = tmp_path / "glove.txt"
    path.write_bytes(encoded("glove"))
    words, counts = vocabulary("The", "house", "rare", "often"), {"The": 6, "rare": 1, "often": 3}
    exact = load_embeddings(path, vocabulary("the", "rare"))
    assert exact.coverage.occurrences is None
    read = load_embeddings(path, words, lower=True, counts=counts).coverage
    assert (read.symbols, read.found, read.share, read.from_subwords) == (4, 1, 0.25, 0)
    assert read.occurrences == 0.6
    assert read.missing == ("often", "rare", "house")  # "House" is no lower case of "house"


def test_a_symbol_is_looked_up_as_it_is_before_its_lower_case(tmp_path: Path) -> None:
    path = tmp_path / "glove.txt"
    path.write_bytes(encoded("glove", ("the", "The", "the"), VECTORS))
    read = load_embeddings(path, vocabulary("the", "The", "THE"), lower=True)
    np.testing.assert_array_equal(read.matrix[2:], VECTORS[[0, 1, 0]])  # a repeated word: its first


def test_a_word_may_hold_spaces(tmp_path: Path) -> None:
    path = tmp_path / "glove.txt"
    path.write_bytes(b"the 1 2\n. . . 3 4 \n")
    words = Vocabulary(["the", ". . ."], "symbols")
    assert load_embeddings(path, words).matrix.tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"dog 1", r":2: expected a word and 2 numbers, got 'dog 1'"),
        (b"dog 1 x", r":2: expected numbers behind 'dog'"),
        (b"dog 1 nan", r":2: expected numbers behind 'dog'"),
        (b"dog 1 1e39", r":2: expected numbers behind 'dog'"),
        (b"d\xff 1 2", r":2: expected UTF-8 text"),
    ],
)
def test_a_malformed_line_is_named_or_left_out(tmp_path: Path, line: bytes, message: str) -> None:
    path = tmp_path / "glove.txt"
    path.write_bytes(b"cat 1 2\n" + line + b"\n")
    with pytest.raises(DataError, match=r"glove\.txt" + message):
        load_embeddings(path, vocabulary("cat", "dog"))
    skipped = Malformed("skip")
    read = load_embeddings(path, vocabulary("cat", "dog"), malformed=skipped)
    assert (read.coverage.missing, skipped.count) == (("dog",), 1)


@pytest.mark.parametrize(
    ("kind", "content", "message"),
    [
        ("word2vec", b"3 2\nthe 1 2\n", "expected 3 words as the first line says, got 1"),
        ("word2vec", b"the 1 2\n", ":1: expected the number of words"),
        ("word2vec-binary", encoded("word2vec-binary")[:-4], "expected 3 words, got an end inside"),
        ("word2vec-binary", b"2 2\nthe", "expected a word and a space as word 1"),
        ("word2vec-binary", b"the 1 2\n", "expected the number of words"),
        ("glove", encoded("glove", ("x", "y", "z")), "got one for none of 1"),
        ("glove", b"", "got one for none of 1"),
        ("fasttext-binary", struct.pack("<ii", 793712314, 12) + b"\0" * 40, "model of fastText"),
        ("fasttext-binary", b"no model", "model of fastText"),
    ],
)
def test_a_damaged_file_is_an_error_always(
    tmp_path: Path, kind: Any, content: bytes, message: str
) -> None:
    if kind == "fasttext-binary":
        pytest.importorskip("gensim")
    path = tmp_path / "vectors"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        load_embeddings(path, vocabulary("the"), format=kind, malformed=Malformed("skip"))


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    pytest.importorskip("gensim")
    kinds: list[Any] = ["detect", "fasttext-binary"]
    for kind in kinds:
        with pytest.raises(DataError, match=r"cannot read .*gone"):
            load_embeddings(tmp_path / "gone", vocabulary("the"), format=kind)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A small fastText model, and gensim's own copy of it in memory."""
    fasttext = pytest.importorskip("gensim.models.fasttext", reason="needs gensim")
    trained = fasttext.FastText(vector_size=6, min_count=1, min_n=2, max_n=3, bucket=50, workers=1)
    sentences = [["hello", "world"], ["hello", "there"]]
    trained.build_vocab(sentences)
    trained.train(sentences, total_examples=2, epochs=1)
    path = tmp_path_factory.mktemp("fasttext") / "model.bin"
    fasttext.save_facebook_model(trained, str(path))
    return path, trained.wv


@pytest.mark.parametrize("packed", [False, True])
def test_a_model_of_fasttext_has_vectors_of_unknown_words(
    tmp_path: Path, model: tuple[Path, Any], packed: bool
) -> None:
    path, vectors = model
    if packed:
        (tmp_path / "model.bin.gz").write_bytes(gzip.compress(path.read_bytes()))
        path = tmp_path / "model.bin.gz"
    read = load_embeddings(path, vocabulary("World", "hell", "hello"), lower=True)
    expected = [vectors["world"], vectors.get_vector("hell"), vectors["hello"]]
    np.testing.assert_allclose(read.matrix[2:], expected, rtol=1e-6)
    assert (read.coverage.found, read.coverage.from_subwords) == (3, 1)


def test_the_published_vectors_know_that_a_king_is_like_a_queen() -> None:
    if published("glove").standing() != "here":
        pytest.skip("glove is not on this machine; `treadle data fetch glove` says more")
    words = vocabulary("The", "king", "queen", "apple", "zzzzq")
    read = load_embeddings(locate(GLOVE), words, lower=True)
    assert (read.matrix.shape, read.coverage.missing) == ((7, 50), ("zzzzq",))
    assert read.matrix[2, 0] == np.float32(0.418)
    king, queen, apple = read.matrix[3:6] / np.linalg.norm(read.matrix[3:6], axis=1, keepdims=True)
    assert king @ queen > 0.7 > king @ apple
