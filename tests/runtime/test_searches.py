"""Greedy and beam search against enumeration, over tables small enough to enumerate."""

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.runtime.table_decoder import TableDecoder, random_table
from treadle.decoding import (
    Decoded,
    Sampler,
    beam_search,
    greedy_search,
    length_penalty,
    log_softmax,
    read_logits,
    sample_search,
)
from treadle.errors import InputError, StateError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Table = dict[tuple[int, ...], NDArray[np.float32]]

START, END = 1, 0
GRAINS = st.sampled_from([0.0, 1.0])  # with 1.0 most steps have ties


def enumerate_all(table: Table, vocabulary: int, max_length: int, alpha: float) -> list[Decoded]:
    """Every sequence there is, best first, scored one by one."""

    def sequences() -> Iterator[tuple[int, ...]]:
        others = [symbol for symbol in range(vocabulary) if symbol != END]
        for length in range(max_length):
            for ids in itertools.product(others, repeat=length):
                yield (*ids, END)
        yield from itertools.product(others, repeat=max_length)

    found = []
    for made in sequences():
        total = sum(float(log_softmax(table[made[:i]])[s]) for i, s in enumerate(made))
        finished = made[-1] == END
        ids = made[:-1] if finished else made
        found.append(Decoded(ids, total, total / length_penalty(len(made), alpha), finished))
    return sorted(found, key=lambda d: (not d.finished, -d.score))


def assert_same(got: Decoded, expected: Decoded) -> None:
    assert (got.ids, got.finished) == (expected.ids, expected.finished)
    assert got.score == pytest.approx(expected.score, rel=1e-12, abs=1e-12)
    assert got.log_probability == pytest.approx(expected.log_probability, rel=1e-12, abs=1e-12)


@given(seed=st.integers(0, 10_000), alpha=st.sampled_from([0.0, 0.6, 1.0, 2.0]))
def test_a_beam_that_holds_everything_finds_what_enumeration_finds(seed: int, alpha: float) -> None:
    vocabulary, max_length, n_best = 3, 3, 5
    table = random_table(seed, vocabulary, max_length)
    everything = enumerate_all(table, vocabulary, max_length, alpha)
    beam = len(everything)
    found = beam_search(
        TableDecoder([table] * beam),
        beam=beam,
        start=START,
        end=END,
        max_length=max_length,
        n_best=n_best,
        length_normalization=alpha,
    )
    for got, expected in zip(found[0], everything[:n_best], strict=True):
        assert_same(got, expected)


@given(seed=st.integers(0, 10_000), rows=st.integers(1, 4), grain=GRAINS)
def test_a_beam_of_one_is_greedy_search(seed: int, rows: int, grain: float) -> None:
    tables = [random_table(seed + row, 4, 4, grain) for row in range(rows)]
    greedy = greedy_search(TableDecoder(tables), start=START, end=END, max_length=4)
    beam = beam_search(
        TableDecoder(tables), beam=1, start=START, end=END, max_length=4, length_normalization=0.0
    )
    for got, [expected] in zip(greedy, beam, strict=True):
        assert_same(got, expected)


@given(seed=st.integers(0, 10_000), beam=st.integers(1, 4), grain=GRAINS)
def test_a_source_decodes_the_same_alone_and_among_others(
    seed: int, beam: int, grain: float
) -> None:
    tables = [random_table(seed + source, 3, 5, grain) for source in range(3)]
    options: dict[str, Any] = {"beam": beam, "start": START, "end": END, "max_length": 5}
    options["n_best"] = beam
    together = beam_search(TableDecoder([t for t in tables for _ in range(beam)]), **options)
    alone = [beam_search(TableDecoder([t] * beam), **options)[0] for t in tables]
    assert together == alone


@given(seed=st.integers(0, 10_000), beam=st.integers(2, 5))
def test_results_are_sorted_and_scored_by_the_formula(seed: int, beam: int) -> None:
    found = beam_search(
        TableDecoder([random_table(seed, 3, 5)] * beam),
        beam=beam,
        start=START,
        end=END,
        max_length=5,
        n_best=beam,
    )[0]
    for made in found:
        length = len(made.ids) + made.finished
        assert made.score == made.log_probability / ((5 + length) / 6) ** 0.6
    assert found == sorted(found, key=lambda d: (not d.finished, -d.score))
    assert len({(d.ids, d.finished) for d in found}) == len(found)


def test_length_penalty_is_the_published_formula() -> None:
    assert length_penalty(1, 0.6) == 1.0
    assert length_penalty(7, 1.0) == 2.0
    assert length_penalty(40, 0.0) == 1.0


def always(symbol: int, vocabulary: int = 3) -> Table:
    logits = np.zeros(vocabulary, dtype=np.float32)
    logits[symbol] = 9.0
    return {
        prefix: logits
        for length in range(6)
        for prefix in itertools.product(range(vocabulary), repeat=length)
    }


def test_each_row_stops_on_its_own() -> None:
    short, long = always(END), always(2)
    found = greedy_search(TableDecoder([short, long]), start=START, end=END, max_length=4)
    assert [(d.ids, d.finished) for d in found] == [((), True), ((2, 2, 2, 2), False)]
    assert found[0].log_probability > -0.001
    decoder = TableDecoder([short, short])
    greedy_search(decoder, start=START, end=END, max_length=4)
    assert decoder.steps == 1


def test_the_search_stops_when_nothing_can_improve() -> None:
    decoder = TableDecoder([always(END)] * 3)
    found = beam_search(decoder, beam=3, start=START, end=END, max_length=5)
    assert found[0][0].ids == ()
    assert decoder.steps == 1


def test_sequences_that_were_cut_rank_behind_finished_ones() -> None:
    found = beam_search(
        TableDecoder([always(2)] * 3), beam=3, start=START, end=END, max_length=2, n_best=3
    )[0]
    assert [d.finished for d in found] == sorted((d.finished for d in found), reverse=True)
    assert any(d.ids == (2, 2) and not d.finished for d in found)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_logits_that_are_not_finite_never_pass(bad: float) -> None:
    table = always(2)
    table[2, 2] = np.array([0.0, bad, 0.0], dtype=np.float32)
    message = r"NaN or infinity in row 0 at step 2.*reset the stream"
    with pytest.raises(StateError, match=message):
        greedy_search(TableDecoder([table]), start=START, end=END, max_length=4)
    with pytest.raises(StateError, match=message):
        beam_search(TableDecoder([table] * 2), beam=2, start=START, end=END, max_length=4)


def test_a_logit_that_is_not_finite_is_placed_among_several_steps() -> None:
    logits = np.zeros((2, 3, 4), dtype=np.float32)
    logits[1, 2, 0] = np.nan
    with pytest.raises(StateError, match="in row 1 at step 12"):
        read_logits(logits, 10)


@pytest.mark.parametrize(("beam", "n_best", "rows"), [(0, 1, 2), (2, 3, 2), (2, 0, 2), (2, 1, 3)])
def test_impossible_sizes(beam: int, n_best: int, rows: int) -> None:
    decoder = TableDecoder([always(END)] * rows)
    with pytest.raises(InputError, match="expected 1 <= n_best <= beam and a multiple of beam"):
        beam_search(decoder, beam=beam, start=START, end=END, max_length=2, n_best=n_best)


def test_a_negative_length_normalization_is_refused() -> None:
    with pytest.raises(InputError, match=r"length_normalization should be 0 or more, got -0\.5"):
        beam_search(
            TableDecoder([always(END)]),
            beam=1,
            start=START,
            end=END,
            max_length=2,
            length_normalization=-0.5,
        )


@given(seed=st.integers(0, 10_000), rows=st.integers(1, 3))
def test_sampling_stops_each_row_on_its_own(seed: int, rows: int) -> None:
    tables = [random_table(seed + row, 4, 4) for row in range(rows)]
    sampler = Sampler(temperature=1.5, seed=seed, repetition_penalty=1.7)
    options: dict[str, Any] = {"start": START, "end": END, "max_length": 4}
    found = sample_search(TableDecoder(tables), sampler, **options)
    for row, (made, table) in enumerate(zip(found, tables, strict=True)):
        [alone] = sample_search(TableDecoder([table]), sampler, rows=[row], **options)
        assert made == alone


def test_the_penalty_changes_the_choice_and_not_the_score() -> None:
    table = {ids: np.array([-9, 0, 2, 1.5], np.float32) for ids in always(2, 4)}
    sampler = Sampler(temperature=0.0, repetition_penalty=2.0)
    [made] = sample_search(TableDecoder([table]), sampler, start=START, end=END, max_length=3)
    assert made.ids == (2, 3, 2)
    taken = log_softmax(np.array([-9, 0, 2, 1.5], np.float32))[[2, 3, 2]].sum()
    assert made.log_probability == pytest.approx(taken)


@pytest.mark.parametrize("beam", [0, 1, 3])
@given(seed=st.integers(0, 10_000))
def test_until_ends_a_sequence_with_the_symbol_it_is_true_of(beam: int, seed: int) -> None:
    """As if the symbol were an end, which counts: 2 twice in a row."""
    table = random_table(seed, 4, 4)
    options: dict[str, Any] = {"start": START, "end": END, "max_length": 4}
    options["until"] = lambda ids: tuple(ids[-2:]) == (2, 2)
    if beam:
        rows = TableDecoder([table] * beam)
        [found] = beam_search(rows, beam=beam, n_best=beam, **options)
    else:
        found = greedy_search(TableDecoder([table]), **options)
    for made in found:
        assert not any(pair == (2, 2) for pair in itertools.pairwise(made.ids[:-1]))
        ended_by_it = made.ids[-2:] == (2, 2)
        assert made.finished or (len(made.ids) == 4 and not ended_by_it)
        length = len(made.ids) + (made.finished and not ended_by_it)
        ended = (*made.ids, END)[:length]
        total = sum(float(log_softmax(table[ended[:i]])[s]) for i, s in enumerate(ended))
        assert made.log_probability == pytest.approx(total)
        if beam:
            assert made.score == pytest.approx(total / length_penalty(length, 0.6))


@pytest.mark.parametrize("beam", [0, 2])
def test_the_step_that_passes_the_time_limit_is_the_last(
    beam: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoder = TableDecoder([always(2)] * max(beam, 1))
    monkeypatch.setattr(time, "monotonic", lambda: float(decoder.steps))
    options: dict[str, Any] = {"start": START, "end": END, "max_length": 5, "time_limit": 2.5}
    if beam:
        [[best]] = beam_search(decoder, beam=beam, **options)
    else:
        [best] = greedy_search(decoder, **options)
    assert decoder.steps == 3
    assert (best.finished, best.ids) == ((True, ()) if beam else (False, (2, 2, 2)))


def test_sequences_that_the_time_limit_cut_are_given_back() -> None:
    found = beam_search(
        TableDecoder([always(2)] * 3),
        beam=3,
        n_best=3,
        start=START,
        end=END,
        max_length=5,
        time_limit=0,
    )[0]
    assert [(made.ids, made.finished) for made in found] == [
        ((), True),
        ((2,), False),
        ((1,), False),
    ]
