"""Constrained searches against exhaustive search, and the constraints themselves."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.runtime.table_decoder import TableDecoder, random_table
from tests.runtime.tiny_bundles import CHARACTERS, PHONEMES
from treadle.decoding import (
    Callback,
    Decoded,
    Lexicon,
    RegularExpression,
    Sampler,
    as_constraint,
    beam_search,
    choices,
    greedy_search,
    length_penalty,
    log_softmax,
    sample_search,
)
from treadle.errors import InputError, StateError
from treadle.vocabulary import Vocabulary

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from treadle.decoding import Constraint

    Table = dict[tuple[int, ...], NDArray[np.float32]]

END, START, LONGEST = 0, 1, 4
OUTPUT = Vocabulary(["<end>", "<start>", "a", "b"], "characters", start=START, end=END)
FREE = (2, 3)

# Each constraint beside what it means for a whole sequence, written as a plain predicate.
Meaning = tuple["Constraint", "Callable[[tuple[int, ...]], bool]"]


def in_pairs(ids: tuple[int, ...]) -> list[int]:
    return [*FREE, END] if len(ids) % 2 == 0 else [ids[-1]]


CONSTRAINTS: dict[str, Meaning] = {
    "callback": (
        Callback(in_pairs),
        lambda ids: ids[::2] == ids[1::2],
    ),
    "choices": (
        choices(["a", "ab", "bbb", "baab"], OUTPUT),
        lambda ids: OUTPUT.text(ids) in {"a", "ab", "bbb", "baab"},
    ),
    "lexicon": (
        Lexicon.of_texts(["a", "aa"], OUTPUT, "b"),
        lambda ids: set(OUTPUT.text(ids).split("b")) <= {"a", "aa"},
    ),
    "expression": (
        RegularExpression("(ab|b)*", OUTPUT),
        lambda ids: not OUTPUT.text(ids).replace("ab", "").strip("b"),
    ),
}
EACH = pytest.mark.parametrize("name", CONSTRAINTS)


def whole(meaning: Callable[[tuple[int, ...]], bool]) -> list[tuple[int, ...]]:
    """Every sequence that ends within LONGEST steps and is what the constraint means."""
    every = [ids for n in range(LONGEST) for ids in itertools.product(FREE, repeat=n)]
    return [ids for ids in every if meaning(ids)]


def log_probability(table: Table, made: Sequence[int]) -> float:
    return sum(float(log_softmax(table[tuple(made[:i])])[s]) for i, s in enumerate(made))


@EACH
@given(seed=st.integers(0, 10_000), alpha=st.sampled_from([0.0, 0.6, 1.0]))
def test_a_wide_beam_is_exhaustive_search_under_the_constraint(
    name: str, seed: int, alpha: float
) -> None:
    constraint, meaning = CONSTRAINTS[name]
    table = random_table(seed, len(OUTPUT), LONGEST)
    expected = []
    for ids in whole(meaning):
        total = log_probability(table, (*ids, END))
        expected.append((total / length_penalty(len(ids) + 1, alpha), ids))
    expected.sort(reverse=True)
    found = beam_search(
        TableDecoder([table] * 40),
        beam=40,
        n_best=40,
        start=START,
        end=END,
        max_length=LONGEST,
        length_normalization=alpha,
        constraint=constraint,
    )[0]
    ended = [made for made in found if made.finished]
    assert [made.ids for made in ended] == [ids for _, ids in expected]
    scores = [made.score for made in ended]
    np.testing.assert_allclose(scores, [score for score, _ in expected], rtol=1e-12)
    for cut in found[len(ended) :]:
        assert begins(meaning, cut.ids)


def begins(meaning: Callable[[tuple[int, ...]], bool], ids: tuple[int, ...]) -> bool:
    """Whether some ending of the ids is what the constraint means."""
    tails = [tail for n in range(4) for tail in itertools.product(FREE, repeat=n)]
    return any(meaning((*ids, *tail)) for tail in tails)


def step_by_step(
    table: Table, name: str, choose: Callable[[NDArray[np.float32], int], int]
) -> Decoded:
    """One sequence by hand: the choice of each step among what some whole sequence goes on with."""
    meaning = CONSTRAINTS[name][1]
    ids: tuple[int, ...] = ()
    total, finished = 0.0, False
    for step in range(LONGEST):
        allowed = [symbol for symbol in FREE if begins(meaning, (*ids, symbol))]
        if meaning(ids):
            allowed.append(END)
        logits = np.full(len(OUTPUT), -np.inf, dtype=np.float32)
        logits[allowed] = table[ids][allowed]
        symbol = choose(logits, step)
        total += float(log_softmax(table[ids])[symbol])
        if finished := symbol == END:
            break
        ids = (*ids, symbol)
    return Decoded(ids, total, total, finished)


@EACH
@given(seed=st.integers(0, 10_000), rows=st.integers(1, 3))
def test_greedy_follows_the_largest_allowed_logit_row_by_row(
    name: str, seed: int, rows: int
) -> None:
    tables = [random_table(seed + row, len(OUTPUT), LONGEST) for row in range(rows)]
    options: dict[str, Any] = {"start": START, "end": END, "max_length": LONGEST}
    constraint = CONSTRAINTS[name][0]
    found = greedy_search(TableDecoder(tables), constraint=constraint, **options)
    for made, table in zip(found, tables, strict=True):
        expected = step_by_step(table, name, lambda logits, _: int(logits.argmax()))
        assert (made.ids, made.finished) == (expected.ids, expected.finished)
        assert made.score == pytest.approx(expected.score, rel=1e-12)


@EACH
@given(seed=st.integers(0, 10_000), rows=st.integers(1, 3))
def test_sampling_draws_among_the_allowed_row_by_row(name: str, seed: int, rows: int) -> None:
    tables = [random_table(seed + row, len(OUTPUT), LONGEST) for row in range(rows)]
    sampler = Sampler(temperature=1.5, top_p=0.95, seed=seed)
    options: dict[str, Any] = {"start": START, "end": END, "max_length": LONGEST}
    numbers = range(5, 5 + rows)
    found = sample_search(
        TableDecoder(tables), sampler, rows=numbers, constraint=CONSTRAINTS[name][0], **options
    )
    for row, (made, table) in enumerate(zip(found, tables, strict=True)):

        def draw(logits: NDArray[np.float32], step: int, row: int = row) -> int:
            return int(sampler.draw(logits[None], step, rows=[numbers[row]])[0])

        expected = step_by_step(table, name, draw)
        assert (made.ids, made.finished) == (expected.ids, expected.finished)
        assert made.score == pytest.approx(expected.score, rel=1e-12)


@given(seed=st.integers(0, 10_000), beam=st.integers(1, 3))
@EACH
def test_a_source_is_constrained_alone_as_among_others(name: str, seed: int, beam: int) -> None:
    tables = [random_table(seed + source, len(OUTPUT), LONGEST) for source in range(3)]

    def found(tables: list[Table]) -> list[list[Decoded]]:
        return beam_search(
            TableDecoder([table for table in tables for _ in range(beam)]),
            beam=beam,
            n_best=beam,
            start=START,
            end=END,
            max_length=LONGEST,
            constraint=CONSTRAINTS[name][0],
        )

    assert found(tables) == [found([table])[0] for table in tables]


@given(words=st.lists(st.text("abc", min_size=1, max_size=4), min_size=1, max_size=6))
def test_a_lexicon_lets_through_its_words_and_no_others(words: list[str]) -> None:
    lexicon = Lexicon.of_texts(words, CHARACTERS, " \n")
    ids = CHARACTERS.encode("abc \n")
    accepted = set()
    waiting: list[tuple[tuple[int, ...], int]] = [((), lexicon.start())]
    while waiting:
        made, state = waiting.pop()
        if lexicon.complete(state):
            accepted.add(CHARACTERS.text(made))
        if len(made) < 4:
            allowed = [i for i in ids if i in set(lexicon.allowed(state))]
            waiting += [((*made, i), lexicon.advance(state, i)) for i in allowed]
    texts = ("".join(t) for n in range(5) for t in itertools.product("abc \n", repeat=n))
    assert accepted == {t for t in texts if set(t.replace("\n", " ").split(" ")) <= set(words)}


def test_choices_of_symbols_are_texts_with_spaces() -> None:
    lexicon = choices(["AA B", "CH"], PHONEMES)
    assert PHONEMES.decode(lexicon.allowed(lexicon.start())) == ["AA", "CH"]


@pytest.mark.parametrize(
    ("words", "separators", "message"),
    [
        ([], "", "at least one word to choose from, got none"),
        (["ab", ""], "", "at least one symbol, got an empty one"),
        (["a b"], " ", "has the separator 2 in it"),
        (["z"], "", "the symbol 'z' at position 0 is not in the vocabulary"),
    ],
)
def test_lexicons_that_make_no_sense(words: list[str], separators: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Lexicon.of_texts(words, CHARACTERS, separators)


def constrained(search: str, function: Callable[[tuple[int, ...]], list[int]]) -> object:
    table = random_table(3, len(OUTPUT), LONGEST)
    options: dict[str, Any] = {"start": START, "end": END, "max_length": LONGEST}
    constraint = as_constraint(function)
    if search == "beam":
        return beam_search(TableDecoder([table] * 2), beam=2, constraint=constraint, **options)
    return greedy_search(TableDecoder([table] * 2), constraint=constraint, **options)


@pytest.mark.parametrize("search", ["greedy", "beam"])
def test_a_constraint_that_allows_nothing_says_after_which_symbols(search: str) -> None:
    with pytest.raises(InputError, match=r"at least one symbol, got none after the ids \[\]"):
        constrained(search, lambda _: [])
    with pytest.raises(StateError, match=r"got none after the ids \[2, 3\]"):
        constrained(search, lambda ids: [[2], [3], []][len(ids)])
    with pytest.raises(
        InputError, match=r"allows the id 4 after the ids \[2\], but ids are in 0..3"
    ):
        constrained(search, lambda ids: [4] if ids else [2])


class Listed(list[int]):
    """A constraint that Python calls false, as it is an empty list."""

    def start(self) -> int:
        return 0

    def allowed(self, state: int) -> list[int]:
        return [state + 2]

    def complete(self, state: int) -> bool:
        return state > 0

    def advance(self, state: int, symbol: int) -> int:
        return state * symbol


@pytest.mark.parametrize("beam", [0, 2])
def test_a_constraint_holds_whatever_its_truth_value(beam: int) -> None:
    table = random_table(3, len(OUTPUT), LONGEST)
    options: dict[str, Any] = {"start": START, "end": END, "max_length": LONGEST}
    decoder = TableDecoder([table] * max(beam, 1))
    if beam:
        [found] = beam_search(decoder, beam=beam, constraint=Listed(), **options)
    else:
        found = greedy_search(decoder, constraint=Listed(), **options)
    assert [made.ids for made in found] == [(2,) * LONGEST]
