"""CTCDecoder against enumeration of alignments, and the plain reading of its definition."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle.decoding import CTCDecoder, Transcript, log_softmax
from treadle.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

SEEDS = st.integers(0, 10_000)


def random_logits(seed: int, *shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(scale=2.0, size=shape).astype(np.float32)


def collapsed(path: tuple[int, ...], blank: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Symbols of an alignment without repeats and blanks, and where each run of one starts."""
    made = [
        (symbol, frame)
        for frame, symbol in enumerate(path)
        if symbol != blank and (frame == 0 or path[frame - 1] != symbol)
    ]
    return tuple(symbol for symbol, _ in made), tuple(frame for _, frame in made)


def enumerate_all(logits: NDArray[np.float32], blank: int) -> list[Transcript]:
    """Every sequence that `logits` [T, V] can give, its alignments summed one by one."""
    scores = log_softmax(logits)
    totals: dict[tuple[int, ...], float] = {}
    likeliest: dict[tuple[int, ...], tuple[float, tuple[int, ...]]] = {}
    for path in itertools.product(range(logits.shape[1]), repeat=len(logits)):
        score = float(sum(scores[frame, symbol] for frame, symbol in enumerate(path)))
        ids, frames = collapsed(path, blank)
        totals[ids] = totals.get(ids, 0.0) + np.exp(score)
        likeliest[ids] = max(likeliest.get(ids, (-np.inf, ())), (score, frames))
    made = [Transcript(ids, likeliest[ids][1], float(np.log(totals[ids]))) for ids in totals]
    return sorted(made, key=lambda transcript: -transcript.score)


@given(seed=SEEDS, time=st.integers(0, 5), symbols=st.integers(2, 3), data=st.data())
def test_a_beam_that_holds_everything_finds_what_enumeration_finds(
    seed: int, time: int, symbols: int, data: st.DataObject
) -> None:
    blank = data.draw(st.integers(0, symbols - 1))
    logits = random_logits(seed, time, symbols)
    decoder = CTCDecoder(symbols, blank=blank, beam=symbols**5)
    decoder.feed(logits[None])
    [found] = decoder.final(n_best=symbols**5)
    expected = enumerate_all(logits, blank)
    assert [(f.ids, f.frames) for f in found] == [(e.ids, e.frames) for e in expected]
    assert [f.score for f in found] == pytest.approx([e.score for e in expected], abs=1e-9)
    assert sum(np.exp(f.score) for f in found) == pytest.approx(1)


@given(seed=SEEDS, time=st.integers(0, 12), beam=st.integers(1, 4))
def test_a_narrow_beam_gives_distinct_sequences_and_no_score_over_the_exact_one(
    seed: int, time: int, beam: int
) -> None:
    logits = random_logits(seed, min(time, 6), 3)
    decoder = CTCDecoder(3, beam=beam)
    decoder.feed(logits[None])
    [found] = decoder.final(n_best=beam)
    exact = {made.ids: made.score for made in enumerate_all(logits, 0)}
    assert 1 <= len(found) <= beam
    assert len({made.ids for made in found}) == len(found)
    assert found == sorted(found, key=lambda made: -made.score)
    assert all(made.score <= exact[made.ids] + 1e-9 for made in found)


@given(seed=SEEDS, rows=st.integers(1, 4), time=st.integers(0, 20), data=st.data())
def test_greedy_is_the_best_path_collapsed(
    seed: int, rows: int, time: int, data: st.DataObject
) -> None:
    blank = data.draw(st.integers(0, 3))
    # A coarse grain makes ties, which the lowest id wins.
    logits = np.round(random_logits(seed, rows, time, 4))
    decoder = CTCDecoder(4, batch_size=rows, blank=blank)
    decoder.feed(logits)
    for row, [made] in zip(logits, decoder.final(n_best=3), strict=True):
        path = row.argmax(axis=-1)
        assert (made.ids, made.frames) == collapsed(tuple(path.tolist()), blank)
        assert made.score == pytest.approx(log_softmax(row)[np.arange(time), path].sum())


@pytest.mark.parametrize("beam", [None, 3])
@given(seed=SEEDS)
def test_log_probabilities_decode_as_the_logits_they_are_of(seed: int, beam: int | None) -> None:
    logits = random_logits(seed, 2, 9, 5)
    of_logits = CTCDecoder(5, batch_size=2, beam=beam)
    of_logits.feed(logits)
    normalized = CTCDecoder(5, batch_size=2, beam=beam, kind="log-probabilities")
    normalized.feed(log_softmax(logits).astype(np.float32))
    for [expected], [made] in zip(of_logits.final(), normalized.final(), strict=True):
        assert (made.ids, made.frames) == (expected.ids, expected.frames)
        assert made.score == pytest.approx(expected.score, abs=1e-4)


@pytest.mark.parametrize("symbols", [1, 17, 130])
@pytest.mark.parametrize("beam", [None, 3])
def test_no_width_or_layout_changes_a_bit(symbols: int, beam: int | None) -> None:
    logits = random_logits(symbols, 9, 5, symbols)
    together = CTCDecoder(symbols, batch_size=9, beam=beam)
    together.feed(np.asfortranarray(logits))
    for row, transcripts in zip(logits, together.final(n_best=3), strict=True):
        alone = CTCDecoder(symbols, beam=beam)
        for frame in row:
            alone.feed(frame[None])
        assert alone.final(n_best=3) == [transcripts]


def test_log_probabilities_are_taken_as_they_are() -> None:
    rounded = np.log(np.array([[[0.26, 0.75], [0.76, 0.25]]], np.float32))
    decoder = CTCDecoder(2, kind="log-probabilities")
    decoder.feed(rounded)
    assert decoder.final()[0][0].score == float(rounded[0, 0, 1]) + float(rounded[0, 1, 0])


def test_logits_that_are_called_log_probabilities_are_refused() -> None:
    decoder = CTCDecoder(3, batch_size=2, kind="log-probabilities")
    chunk = np.full((2, 2, 3), -np.log(3), np.float32)
    chunk[1, 1] = 200.0
    with pytest.raises(InputError, match=r"sum of 1.*row 1, frame 1.*kind=\"logits\""):
        decoder.feed(chunk)
    assert decoder.feed(chunk, np.array([2, 1])).tolist() == [2, 1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"symbols": 0}, "symbols should be an integer of at least 1"),
        ({"symbols": 3, "blank": 3}, "blank should be an id in 0..2, got 3"),
        ({"symbols": 3, "blank": -1}, "blank should be an integer of at least 0"),
        ({"symbols": 3, "batch_size": 0}, "batch_size should be an integer of at least 1"),
        ({"symbols": 3, "beam": 0}, "beam should be an integer of at least 1"),
        ({"symbols": 3, "kind": "probabilities"}, 'should be "logits" or "log-probabilities"'),
    ],
)
def test_impossible_options_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        CTCDecoder(**options)  # type: ignore[arg-type]
