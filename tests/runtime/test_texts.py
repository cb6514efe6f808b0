"""Texts to ids, and words as one writes them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from treadle.texts import TextReading, detokenized
from treadle.vocabulary import Vocabulary, words_of

LETTERS = Vocabulary(("_", "?", *"abc "), "characters", padding=0, unknown=1)
PHONES = Vocabulary(("_", "(", ")", "A", "B"), "symbols", padding=0, start=1, end=2)
PIECES = Vocabulary(
    ("?", "a", "b", "\u2581", "\u2581a"), "subwords", unknown=0, merges=[("\u2581", "a")]
)


@given(st.text(alphabet="ab1_' ,.!?;:%)]}([{\"-$\n"))
def test_detokenized_words_are_the_same_words(text: str) -> None:
    words = words_of(text)
    assert words_of(detokenized(" ".join(words))) == words


def test_words_are_written_as_one_writes_them() -> None:
    assert detokenized("it's ( very ) good , 10 % !") == "it's (very) good, 10%!"


def test_a_reading_lowers_only_where_it_is_asked_to() -> None:
    decoding = {"lowercase": True, "lowercase_output": False}
    vocabularies = {"input": LETTERS, "output": PHONES}
    source = TextReading.of(vocabularies, decoding, "input")
    target = TextReading.of(vocabularies, decoding, "output")
    assert source.ids("aBc") == LETTERS.encode("abc")
    assert target.ids(" A  B") == [3, 4]
    assert (source.written("A B"), target.written("A  b")) == ("a b", "A b")
    assert TextReading.of(vocabularies, {}, "input").lowercase is False


def test_what_cannot_be_written_has_no_ids() -> None:
    assert TextReading(PHONES).known_ids("A C") is None
    assert TextReading(LETTERS).known_ids("ax") == [2, 1]


@given(st.text(alphabet="ab "))
def test_what_is_written_is_what_the_vocabulary_gives_back(text: str) -> None:
    for vocabulary in (LETTERS, PIECES):
        reading = TextReading(vocabulary)
        assert reading.written(text) == vocabulary.text(reading.ids(text))
