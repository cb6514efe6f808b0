"""Regular expressions as constraints: equal to `re.fullmatch` on every short text."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.runtime.tiny_bundles import PHONEMES
from treadle.decoding import RegularExpression
from treadle.decoding import regular as module
from treadle.errors import InputError
from treadle.vocabulary import Vocabulary

LETTERS = Vocabulary(["<unknown>", *"abc\n"], "characters", unknown=0)
PIECES = Vocabulary(["<end>", "a", "ab", "b", "c"], "symbols", end=0)
SINGLE = st.sampled_from(
    [
        "a",
        "b",
        "c",
        ".",
        "[ab]",
        "[^a]",
        "[a-c]",
        "[^b-c]",
        "[a-]",
        "[-c]",
        "\\.",
        "\\n",
        "[\\]b]",
        "",
    ]
)
TIMES = st.sampled_from(["*", "+", "?", "{0}", "{1}", "{2}", "{0,}", "{2,}", "{0,2}", "{1,3}"])


def grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Expressions made of smaller ones, each in a group, so that any may be repeated."""
    return st.one_of(
        st.tuples(inner, inner).map(lambda two: two[0] + two[1]),
        st.tuples(inner, inner).map(lambda two: f"({two[0]}|{two[1]})"),
        st.tuples(inner, TIMES).map(lambda two: f"({two[0]}){two[1]}"),
    )


PATTERNS = st.recursive(SINGLE, grown, max_leaves=6)


def built(pattern: str, vocabulary: Vocabulary) -> RegularExpression | None:
    """The expression; None where it says that no sequence matches."""
    try:
        return RegularExpression(pattern, vocabulary)
    except InputError as error:
        if "no sequence of the vocabulary's symbols matches" not in str(error):
            raise
        return None


def accepted(expression: RegularExpression, ids: tuple[int, ...]) -> bool:
    state = expression.start()
    for symbol in ids:
        if symbol not in expression.allowed(state):
            return False
        state = expression.advance(state, symbol)
    return expression.complete(state)


def texts(vocabulary: Vocabulary, longest: int) -> list[tuple[int, ...]]:
    ids = range(1, len(vocabulary))
    lengths = range(longest + 1)
    return [made for length in lengths for made in itertools.product(ids, repeat=length)]


@pytest.mark.parametrize("vocabulary", [LETTERS, PIECES], ids=["characters", "symbols"])
@given(pattern=PATTERNS, spaces=st.booleans())
def test_it_is_what_fullmatch_is(vocabulary: Vocabulary, pattern: str, spaces: bool) -> None:
    if spaces:  # what symbols have between them
        pattern = f"({pattern})( ({pattern}))*"
    every = texts(vocabulary, 4)
    matching = {ids for ids in every if re.fullmatch(pattern, vocabulary.text(ids))}
    expression = built(pattern, vocabulary)
    if expression is None:
        assert matching == set()
        return
    assert {ids for ids in every if accepted(expression, ids)} == matching


@given(pattern=PATTERNS)
def test_no_way_is_a_dead_end(pattern: str) -> None:
    """Whatever is allowed can be finished: some way from every state reached gets complete."""
    expression = built(pattern, LETTERS)
    if expression is None:
        return
    seen, waiting = {0}, [0]
    while waiting:
        state = waiting.pop()
        assert expression.complete(state) or len(expression.allowed(state))
        assert finishes(expression, state)
        new = {expression.advance(state, int(i)) for i in expression.allowed(state)} - seen
        seen |= new
        waiting += new


def finishes(expression: RegularExpression, state: int) -> bool:
    reached, waiting = {state}, [state]
    while waiting:
        here = waiting.pop()
        if expression.complete(here):
            return True
        new = {expression.advance(here, int(i)) for i in expression.allowed(here)} - reached
        reached |= new
        waiting += new
    return False


def test_a_way_without_its_last_character_is_not_offered() -> None:
    expression = RegularExpression("az|b", LETTERS)
    assert LETTERS.decode(expression.allowed(0)) == ["b"]


def test_symbols_are_joined_by_spaces_and_special_ones_never_allowed() -> None:
    expression = RegularExpression("(AA|B)( [A-Z]+){2}", PHONEMES)
    assert accepted(expression, tuple(PHONEMES.encode("AA CH G")))
    assert not accepted(expression, tuple(PHONEMES.encode("AA CH")))
    first = RegularExpression(".*", PHONEMES).allowed(0)
    np.testing.assert_array_equal(np.sort(first), np.arange(3, len(PHONEMES)))


@pytest.mark.parametrize(
    ("pattern", "place", "why"),
    [
        ("ab)", 2, "closes a group that is not open"),
        ("a(b", 1, "opens a group that is never closed"),
        ("a[b", 1, "opens a class that is never closed"),
        ("a[b\\]", 1, "opens a class that is never closed"),
        ("a[]", 2, "closes a class without characters"),
        ("[[a]", 1, "within a class is ambiguous"),
        ("[c-a]", 1, "range from 'c' down to 'a'"),
        ("*a", 0, "has nothing to repeat"),
        ("a|+", 2, "has nothing to repeat"),
        ("a**", 2, "repeats a repetition"),
        ("a+?", 2, "repeats a repetition"),
        ("a{x}", 1, "should begin {m}, {m,} or {m,n}"),
        ("a{,2}", 1, "should begin {m}, {m,} or {m,n}"),
        ("a{99999}", 1, "should begin {m}, {m,} or {m,n}"),
        ("a{3,2}", 1, "begins bounds of which 3 is more than 2"),
        ("^a", 0, "is no anchor here"),
        ("a$", 1, "is no anchor here"),
        ("a]", 1, "closes nothing"),
        ("(?:a)", 1, "begins an option of a group"),
        ("a\\d", 1, "begins an escape that is not supported"),
        ("(a)\\1", 3, "begins an escape that is not supported"),
        ("a\\", 1, "begins an escape that is not supported"),
        ("(" * 51, 50, "opens more than 50 groups"),
    ],
)
def test_what_the_language_lacks_is_refused_with_its_place(
    pattern: str, place: int, why: str
) -> None:
    with pytest.raises(InputError, match=rf"at position {place}, .*{re.escape(why)}"):
        RegularExpression(pattern, LETTERS)


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("((a{100}){100}){100}", "at most 1000 characters"),
        ("(a|b)*a(a|b){20}", "at most 2000 states"),
        ("x", "no sequence of the vocabulary's symbols matches the expression 'x'"),
        ("[^a-c\n]", "no sequence"),
    ],
)
def test_what_is_too_large_or_never_matches(pattern: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        RegularExpression(pattern, LETTERS)


def test_nothing_repeated_often_is_still_nothing() -> None:
    expression = RegularExpression("((((){9999}){9999}){9999}){9999}a", LETTERS)
    assert LETTERS.decode(expression.allowed(0)) == ["a"]


def test_states_within_the_bound_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_STATES", 4)
    RegularExpression("aab", LETTERS)
    with pytest.raises(InputError, match="at most 4 states"):
        RegularExpression("aabb", LETTERS)
