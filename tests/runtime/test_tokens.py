"""Tokens to ids: whole, in lower case, and by their characters."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle.errors import InputError
from treadle.tokens import TokenReading
from treadle.vocabulary import Vocabulary

KNOWN = Vocabulary(
    ["<padding>", "<unknown>", *"ABabcd", "New York", "abba"], "symbols", padding=0, unknown=1
)


def test_a_token_is_taken_as_it_is() -> None:
    assert TokenReading(KNOWN).ids(["New York", "abba", "ABBA", "York"]).tolist() == [8, 9, 1, 1]
    assert TokenReading(KNOWN, lowercase=True).ids(["ABBA", "New York"]).tolist() == [9, 1]


def test_a_vocabulary_without_an_unknown_symbol_refuses_what_it_lacks() -> None:
    with pytest.raises(InputError, match="no unknown symbol"):
        TokenReading(Vocabulary(["a"], "symbols")).ids(["b"])


def test_characters_keep_their_case_and_stand_between_padding() -> None:
    reading = TokenReading(KNOWN, lowercase=True, characters=4)
    assert reading.ids(["ABBA", "b?"]).tolist() == [[9, 0, 2, 3, 3, 2, 0], [1, 0, 5, 1, 0, 0, 0]]


@given(st.text(st.sampled_from("ABabcd"), min_size=1, max_size=12), st.integers(1, 9))
def test_of_a_long_token_both_ends_are_read(token: str, characters: int) -> None:
    row = TokenReading(KNOWN, characters=characters).ids([token])[0].tolist()
    assert len(row) == characters + 3
    read = "".join(KNOWN.symbols[index] for index in row[2:-1] if index)
    if len(token) <= characters:
        assert read == token
    else:
        first = -(-characters // 2)
        assert read == token[:first] + token[len(token) - characters // 2 :]
    assert (row[1], row[-1]) == (0, 0)


def test_the_reading_of_a_manifest() -> None:
    asked = {"lowercase": True, "characters": 3}
    assert TokenReading.of(KNOWN, asked) == TokenReading(KNOWN, lowercase=True, characters=3)
    assert TokenReading.of(KNOWN, {"characters": "many"}) == TokenReading(KNOWN)
