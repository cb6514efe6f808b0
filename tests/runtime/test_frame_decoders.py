"""What every decoder of frames promises, held against all four of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.runtime.table_transducer import ENCODED, TableJoiner, TablePredictor
from treadle.decoding import CTCDecoder, EndPoint, RNNTDecoder
from treadle.decoding.candidates import best_candidates
from treadle.errors import InputError, StateError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Decoder = CTCDecoder | RNNTDecoder

SYMBOLS = ENCODED  # so that all four read frames of one size
SEEDS = st.integers(0, 10_000)
RULES = st.one_of(st.none(), st.integers(1, 6))
END_POINTS = st.builds(
    EndPoint, trailing_blank=RULES, leading_blank=RULES, max_frames=st.none() | st.integers(1, 12)
)
KINDS = ["ctc-greedy", "ctc-beam", "rnnt-greedy", "rnnt-beam"]
EVERY_KIND = pytest.mark.parametrize("kind", KINDS)


def make(
    kind: str, rows: int, end_point: EndPoint | None = None, joiner: Any = None, blank: int = 0
) -> Decoder:
    beam = 3 if kind.endswith("beam") else None
    if kind.startswith("ctc"):
        return CTCDecoder(SYMBOLS, batch_size=rows, blank=blank, beam=beam, end_point=end_point)
    return RNNTDecoder(
        TablePredictor(rows * (beam or 1), 1),
        joiner or TableJoiner(SYMBOLS, 1),
        symbols=SYMBOLS,
        features=ENCODED,
        blank=blank,
        beam=beam,
        max_symbols=None if beam else 2,
        end_point=end_point,
    )


def random_frames(seed: int, *shape: int) -> NDArray[np.float32]:
    frames = np.random.default_rng(seed).normal(scale=2, size=(*shape, SYMBOLS))
    return frames.astype(np.float32)


def results(decoder: Decoder) -> tuple[Any, ...]:
    partial = decoder.partial()
    return partial, decoder.frames.tolist(), decoder.ended.tolist(), decoder.final(n_best=3)


@EVERY_KIND
@given(
    seed=SEEDS,
    lengths=st.lists(st.integers(0, 12), min_size=1, max_size=3),
    cuts=st.lists(st.integers(0, 5), min_size=1, max_size=6),
    end_point=END_POINTS,
)
def test_any_cutting_into_chunks_gives_the_same_to_the_bit(
    kind: str, seed: int, lengths: list[int], cuts: list[int], end_point: EndPoint
) -> None:
    frames = random_frames(seed, len(lengths), 12)
    counts = np.array(lengths)
    whole, cut = (make(kind, len(lengths), end_point) for _ in range(2))
    read_whole = whole.feed(frames, counts)
    read_cut = np.zeros_like(counts)
    begin = 0
    for size in [*cuts, 12]:
        chunk = frames[:, begin : begin + size]
        here = np.clip(counts - begin, 0, chunk.shape[1])
        read_cut += cut.feed(chunk[:, 0] if size == 1 and chunk.shape[1] else chunk, here)
        begin += size
    assert read_cut.tolist() == read_whole.tolist() == whole.frames.tolist()
    assert results(cut) == results(whole)


@EVERY_KIND
@given(seed=SEEDS, rows=st.integers(2, 4), end_point=END_POINTS)
def test_a_row_decodes_the_same_alone_and_among_others(
    kind: str, seed: int, rows: int, end_point: EndPoint
) -> None:
    frames = random_frames(seed, rows, 10)
    together = make(kind, rows, end_point)
    together.feed(np.asfortranarray(frames))
    partial, read, ended, final = results(together)
    for row in range(rows):
        alone = make(kind, 1, end_point)
        alone.feed(frames[row : row + 1])
        assert results(alone) == ([partial[row]], [read[row]], [ended[row]], [final[row]])


@EVERY_KIND
@given(seed=SEEDS)
def test_frames_of_emission_increase_and_were_read(kind: str, seed: int) -> None:
    decoder = make(kind, 2)
    decoder.feed(random_frames(seed, 2, 15), np.array([15, 9]))
    for length, transcripts in zip([15, 9], decoder.final(n_best=3), strict=True):
        for made in transcripts:
            assert len(made.frames) == len(made.ids)
            steps = np.diff([*made.frames, length])
            assert (steps >= 0 if kind == "rnnt-greedy" else steps > 0).all()
            assert not made.frames or made.frames[-1] < length


@EVERY_KIND
@given(seed=SEEDS)
def test_what_is_settled_changes_no_more(kind: str, seed: int) -> None:
    decoder = make(kind, 1)
    settled: list[tuple[int, ...]] = []
    for frame in random_frames(seed, 12, 1):
        decoder.feed(frame)
        [made] = decoder.partial()
        settled.append(made.ids[: made.settled])
    assert [len(ids) for ids in settled] == sorted(len(ids) for ids in settled)
    [transcripts] = decoder.final(n_best=3)
    for transcript in transcripts:
        assert all(transcript.ids[: len(ids)] == ids for ids in settled)
    assert decoder.partial()[0].settled == len(transcripts[0].ids)


def test_a_beam_settles_what_all_its_hypotheses_share() -> None:
    decoder = CTCDecoder(3, beam=4)
    sure, unsure = [[[0.0, 20.0, 0.0]]], [[[5.0, 0.0, 4.9]]]
    decoder.feed(np.array(sure * 2, np.float32).reshape(1, 2, 3))
    decoder.feed(np.array(unsure, np.float32))
    [made] = decoder.partial()
    assert made.ids == (1,)
    assert made.settled == 0  # a beam of 4 still holds the empty sequence
    narrow = CTCDecoder(3, beam=2)
    narrow.feed(np.array(sure * 2, np.float32).reshape(1, 2, 3))
    narrow.feed(np.array(unsure, np.float32))
    [made] = narrow.partial()
    assert (made.ids, made.settled) == ((1,), 1)
    assert [t.ids for t in narrow.final(n_best=2)[0]] == [(1,), (1, 2)]


def expected_end(path: list[int], rules: EndPoint) -> tuple[int, str | None]:
    """How many frames are read, and the rule that ends them, by looking at every beginning."""
    for count in range(1, len(path) + 1):
        heard = path[:count]
        last, some = heard[-(rules.trailing_blank or 1) :], any(heard)
        if some and rules.trailing_blank and not any(last) and len(last) == rules.trailing_blank:
            return count, "trailing blank"
        if not some and rules.leading_blank and count == rules.leading_blank:
            return count, "leading blank"
        if count == rules.max_frames:
            return count, "length"
    return len(path), None


@EVERY_KIND
@given(
    paths=st.lists(
        st.lists(st.sampled_from([0, 0, 0, 1, 2]), min_size=14, max_size=14),
        min_size=1,
        max_size=3,
    ),
    end_point=END_POINTS,
    blank=st.integers(0, SYMBOLS - 1),
)
def test_a_row_ends_at_the_first_rule_that_holds(
    kind: str, paths: list[list[int]], end_point: EndPoint, blank: int
) -> None:
    # A path has 0 for the blank, whatever its id.
    frames = (40 * np.eye(SYMBOLS, dtype=np.float32))[(np.array(paths) + blank) % SYMBOLS]
    # Follows the encoder: one symbol a frame, for greedy search may emit two.
    decoder = make(kind, len(paths), end_point, lambda encoded, _: encoded, blank)
    read = decoder.feed(frames)
    for row, (path, made) in enumerate(zip(paths, decoder.partial(), strict=True)):
        count, reason = expected_end(path, end_point)
        assert (read[row], made.ended) == (count, reason)
        assert decoder.ended[row] == (reason is not None)
        assert all(frame < count for frame in made.frames)
        assert set(made.frames) >= {
            place for place in range(count) if path[place] and (not place or not path[place - 1])
        }
    ended = decoder.ended
    assert decoder.feed(frames[:, :1]).tolist() == (~ended).astype(int).tolist()


def test_a_reset_row_forgets_its_frames_of_blank() -> None:
    decoder = CTCDecoder(2, beam=3, end_point=EndPoint(trailing_blank=3))
    unsure = np.log(np.array([[[0.55, 0.45]] * 4], np.float32))
    assert decoder.feed(np.array([[[9, 0]] * 4], np.float32)).tolist() == [4]
    decoder.reset()
    # Blank is the likeliest in every frame, and still there is a symbol after two.
    assert decoder.feed(unsure).tolist() == [3]
    assert decoder.partial()[0].ended == "trailing blank"


def test_counts_handed_out_are_not_live() -> None:
    decoder = CTCDecoder(3)
    before = decoder.frames
    decoder.feed(np.zeros((1, 3), np.float32))
    assert (before.tolist(), decoder.frames.tolist()) == ([0], [1])


@given(seed=SEEDS, beam=st.integers(1, 130), places=st.integers(1, 3))
def test_equal_candidates_keep_their_order(seed: int, beam: int, places: int) -> None:
    scores = np.random.default_rng(seed).integers(0, 4, places * 41).astype(np.float64)
    found = best_candidates(scores[:places], scores[places:].reshape(places, 40), beam)
    everything: list[tuple[int, int | None]] = [(place, None) for place in range(places)]
    everything += [(place, symbol) for place in range(places) for symbol in range(40)]
    order = sorted(range(len(scores)), key=lambda index: -scores[index])
    assert found == [everything[index] for index in order][:beam]


@EVERY_KIND
@given(seed=SEEDS, chosen=st.lists(st.integers(0, 2), unique=True), end_point=END_POINTS)
def test_a_reset_row_is_new_and_the_others_go_on(
    kind: str, seed: int, chosen: list[int], end_point: EndPoint
) -> None:
    frames = random_frames(seed, 3, 10)
    decoder, untouched = (make(kind, 3, end_point) for _ in range(2))
    for made in (decoder, untouched):
        made.feed(frames[:, :5])
    decoder.final(chosen)
    decoder.reset(chosen)
    assert [decoder.frames[row] for row in chosen] == [0] * len(chosen)
    for made in (decoder, untouched):
        made.feed(frames[:, 5:])
    anew = make(kind, 3, end_point)
    anew.feed(frames[:, 5:])
    for row in range(3):
        expected = anew if row in chosen else untouched
        assert decoder.partial()[row] == expected.partial()[row]
        assert decoder.frames[row] == expected.frames[row]
        assert decoder.final([row], n_best=3) == expected.final([row], n_best=3)


@EVERY_KIND
def test_a_final_row_reads_no_more_until_it_is_reset(kind: str) -> None:
    frames = random_frames(3, 2, 4)
    decoder = make(kind, 2)
    decoder.feed(frames)
    before = decoder.final([1])
    for rows in (None, np.array([2, 1])):
        with pytest.raises(StateError, match=r"row 1 is final.*reset\(rows=\[1\]\)"):
            decoder.feed(frames, rows)
    assert decoder.frames.tolist() == [4, 4]
    assert decoder.feed(frames, np.array([4, 0])).tolist() == [4, 0]
    assert decoder.final([1]) == before
    decoder.reset()
    assert decoder.feed(frames).tolist() == [4, 4]


@EVERY_KIND
@pytest.mark.parametrize(
    ("x", "lengths", "message"),
    [
        (np.zeros((3, SYMBOLS), np.float32), None, r"should be float32 \[2, 3\].*got .*\[3, 3\]"),
        (np.zeros((0, SYMBOLS), np.float32), None, r"should be float32 \[2, 3\].*\[0, 3\]"),
        (np.zeros((2, 4, SYMBOLS + 1), np.float32), None, r"got float32 \[2, 4, 4\]"),
        (np.zeros(SYMBOLS, np.float32), None, r"got float32 \[3\]"),
        (np.zeros((2, 4, SYMBOLS)), None, r"astype\('float32'\)"),
        (np.full((2, 4, SYMBOLS), np.nan, np.float32), None, "finite numbers, got nan"),
        (np.full((2, SYMBOLS), np.inf, np.float32), None, "finite numbers, got inf"),
        ([[1.0], [1.0, 2.0]], None, "one array without gaps"),
        (np.zeros((2, 4, SYMBOLS), np.float32), np.array([4, 5]), "length of row 1"),
        (np.zeros((2, 4, SYMBOLS), np.float32), np.array([4]), r"lengths should be int64 \[2\]"),
        (np.zeros((2, 0, SYMBOLS), np.float32), np.array([0, 1]), "length of row 1"),
    ],
)
def test_bad_frames_are_refused_and_leave_the_rows_as_they_were(
    kind: str, x: Any, lengths: Any, message: str
) -> None:
    decoder = make(kind, 2)
    decoder.feed(random_frames(0, 2, 6))
    before = decoder.partial()
    with pytest.raises(InputError, match=message):
        decoder.feed(x, lengths)
    assert decoder.partial() == before
    assert decoder.frames.tolist() == [6, 6]


@EVERY_KIND
def test_what_lies_beyond_the_length_is_not_looked_at(kind: str) -> None:
    frames = random_frames(0, 2, 6)
    frames[1, 2:] = np.nan

    def joiner(encoded: NDArray[np.float32], predicted: NDArray[np.float32]) -> Any:
        made = TableJoiner(SYMBOLS, 1)(encoded, predicted)
        made[~encoded.any(axis=-1)] = np.inf  # padding is zero
        return made

    decoder, alone = make(kind, 2, joiner=joiner), make(kind, 1)
    decoder.feed(frames, np.array([6, 2]))
    alone.feed(frames[1:, :2])
    assert decoder.final()[1] == alone.final()[0]


@EVERY_KIND
def test_rows_that_are_not_there_are_refused(kind: str) -> None:
    decoder = make(kind, 2)
    for use in (decoder.reset, decoder.final):
        with pytest.raises(InputError, match=r"rows should be in 0\.\.1"):
            use([2])
    with pytest.raises(InputError, match="n_best should be an integer of at least 1"):
        decoder.final(n_best=0)


@pytest.mark.parametrize("rule", ["trailing_blank", "leading_blank", "max_frames"])
@pytest.mark.parametrize("value", [0, -1, 1.5, True])
def test_rules_count_whole_frames(rule: str, value: Any) -> None:
    with pytest.raises(InputError, match=f"{rule} should be an integer of at least 1"):
        EndPoint(**{rule: value})
