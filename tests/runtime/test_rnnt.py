"""RNNTDecoder against enumeration of alignments, over tables and over a real stream."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.runtime.table_transducer import ENCODED, TableJoiner, TablePredictor, prediction
from tests.runtime.tiny_bundles import CHARACTERS
from treadle.decoding import RNNTDecoder, Transcript, log_softmax
from treadle.errors import InputError, StateError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from treadle.model import Model

SEEDS = st.integers(0, 10_000)
SYMBOLS = 3


def random_frames(seed: int, *shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(*shape, ENCODED)).astype(np.float32)


def make(seed: int, rows: int = 1, beam: int | None = None, **options: Any) -> RNNTDecoder:
    predictor = TablePredictor(rows * (beam or 1), seed)
    sizes: dict[str, Any] = {"symbols": SYMBOLS, "features": ENCODED}
    return RNNTDecoder(predictor, TableJoiner(SYMBOLS, seed), beam=beam, **sizes, **options)


def scores_of(
    seed: int, frame: NDArray[np.float32], ids: tuple[int, ...], start: int
) -> NDArray[np.float64]:
    logits = TableJoiner(SYMBOLS, seed).row(frame, prediction(seed, (start, *ids)))
    return log_softmax(logits)


def greedy_by_hand(
    seed: int, frames: NDArray[np.float32], blank: int, start: int, max_symbols: int
) -> Transcript:
    """One row, as the definition reads."""
    ids: tuple[int, ...] = ()
    places: tuple[int, ...] = ()
    total = 0.0
    for place, frame in enumerate(frames):
        for _ in range(max_symbols):
            scores = scores_of(seed, frame, ids, start)
            symbol = int(scores.argmax())
            total += float(scores[symbol])
            if symbol == blank:
                break
            ids, places = (*ids, symbol), (*places, place)
    return Transcript(ids, places, total)


def enumerate_all(seed: int, frames: NDArray[np.float32], blank: int) -> list[Transcript]:
    """Every sequence of at most one symbol a frame, its alignments summed one by one."""
    totals: dict[tuple[int, ...], float] = {}
    likeliest: dict[tuple[int, ...], tuple[float, tuple[int, ...]]] = {}
    for path in itertools.product(range(SYMBOLS), repeat=len(frames)):
        ids: tuple[int, ...] = ()
        score = 0.0
        for frame, symbol in zip(frames, path, strict=True):
            score += float(scores_of(seed, frame, ids, blank)[symbol])
            ids += (symbol,) * (symbol != blank)
        places = tuple(place for place, symbol in enumerate(path) if symbol != blank)
        totals[ids] = totals.get(ids, 0.0) + np.exp(score)
        likeliest[ids] = max(likeliest.get(ids, (-np.inf, ())), (score, places))
    made = [Transcript(ids, likeliest[ids][1], float(np.log(totals[ids]))) for ids in totals]
    return sorted(made, key=lambda transcript: -transcript.score)


@given(
    seed=SEEDS, rows=st.integers(1, 3), time=st.integers(0, 6), most=st.integers(1, 4),
    blank=st.integers(0, SYMBOLS - 1), start=st.integers(0, SYMBOLS - 1),
)  # fmt: skip
def test_greedy_is_the_definition_read_row_by_row(
    seed: int, rows: int, time: int, most: int, blank: int, start: int
) -> None:
    frames = random_frames(seed, rows, time)
    decoder = make(seed, rows, blank=blank, start=start, max_symbols=most)
    decoder.feed(frames)
    for row, [made] in zip(frames, decoder.final(), strict=True):
        expected = greedy_by_hand(seed, row, blank, start, most)
        assert (made.ids, made.frames) == (expected.ids, expected.frames)
        assert made.score == pytest.approx(expected.score, abs=1e-9)
        assert all(made.frames.count(frame) <= most for frame in made.frames)


@given(seed=SEEDS, time=st.integers(0, 4), blank=st.integers(0, SYMBOLS - 1))
def test_a_beam_that_holds_everything_finds_what_enumeration_finds(
    seed: int, time: int, blank: int
) -> None:
    frames = random_frames(seed, time)
    expected = enumerate_all(seed, frames, blank)
    decoder = make(seed, beam=31, blank=blank)
    decoder.feed(frames[None])
    [found] = decoder.final(n_best=31)
    assert [(f.ids, f.frames) for f in found] == [(e.ids, e.frames) for e in expected]
    assert [f.score for f in found] == pytest.approx([e.score for e in expected], abs=1e-9)


@given(seed=SEEDS, rows=st.integers(1, 3), time=st.integers(0, 8))
def test_a_beam_of_one_is_greedy_with_one_symbol_a_frame(seed: int, rows: int, time: int) -> None:
    frames = random_frames(seed, rows, time)
    greedy, beam = make(seed, rows, max_symbols=1), make(seed, rows, beam=1)
    greedy.feed(frames)
    beam.feed(frames)
    assert beam.final() == greedy.final()
    assert beam.partial() == greedy.partial()


@given(seed=SEEDS, beam=st.integers(2, 5), time=st.integers(0, 6))
def test_each_row_of_the_predictor_has_read_its_hypothesis(seed: int, beam: int, time: int) -> None:
    predictor = TablePredictor(2 * beam, seed)
    joiner = TableJoiner(SYMBOLS, seed)
    decoder = RNNTDecoder(predictor, joiner, symbols=SYMBOLS, features=ENCODED, beam=beam)
    decoder.feed(random_frames(seed, 2, time))
    for row, transcripts in enumerate(decoder.final(n_best=beam)):
        carried = predictor.prefixes[row * beam : row * beam + len(transcripts)]
        assert carried == [(0, *transcript.ids) for transcript in transcripts]


@given(seed=SEEDS, rows=st.integers(1, 3))
def test_the_predictor_reads_only_what_was_emitted(seed: int, rows: int) -> None:
    predictor = TablePredictor(rows, seed)
    joiner = TableJoiner(SYMBOLS, seed)
    decoder = RNNTDecoder(predictor, joiner, symbols=SYMBOLS, features=ENCODED, max_symbols=3)
    decoder.feed(random_frames(seed, rows, 8))
    emitted = sum(len(made.ids) for [made] in decoder.final())
    assert predictor.read == rows + emitted  # the start symbol, and each one


@pytest.mark.parametrize("beam", [None, 1])
def test_frames_of_blank_do_not_call_the_predictor(beam: int | None) -> None:
    predictor = TablePredictor(2, 0)
    blank = np.array([[9, 0, 0]] * 2, np.float32)
    sizes: dict[str, Any] = {"symbols": SYMBOLS, "features": ENCODED}
    decoder = RNNTDecoder(predictor, lambda *_: blank, beam=beam, **sizes)
    decoder.feed(random_frames(0, 2, 5))
    assert predictor.calls == 1  # with the start symbol


@pytest.mark.parametrize("beam", [None, 3])
def test_a_stream_is_a_predictor(characters: Model, beam: int | None) -> None:
    pytest.importorskip("onnxruntime")
    symbols, rows = len(CHARACTERS), 2
    joiner = TableJoiner(symbols, 5, predicted=symbols)

    class Replayed(TablePredictor):
        """Reads each prefix from its start, in a stream of its own."""

        def step(self, x: Any, *, active: Any = None) -> Any:
            super().step(x, active=active)
            outputs = np.zeros((self.batch_size, symbols), np.float32)
            for row in np.flatnonzero(active):
                with characters.stream() as stream:
                    outputs[row] = stream.feed(np.array([self.prefixes[row]]))[0]
            return outputs

    frames = np.random.default_rng(1).normal(scale=3, size=(rows, 7, ENCODED)).astype(np.float32)
    made = []
    stream = characters.stream(batch_size=rows * (beam or 1))
    for predictor in (stream, Replayed(stream.batch_size, 0)):
        decoder = RNNTDecoder(
            predictor, joiner, symbols=symbols, features=ENCODED, beam=beam, max_symbols=beam and 1
        )
        decoder.feed(frames)
        decoder.reset(rows=[1])
        decoder.feed(frames[:, ::-1], np.array([0, 7]))
        made.append(decoder.final(n_best=3))
    assert any(transcript.ids for row in made[0] for transcript in row)
    for streamed, replayed in zip(*made, strict=True):
        assert [(t.ids, t.frames) for t in streamed] == [(t.ids, t.frames) for t in replayed]
        assert [t.score for t in streamed] == pytest.approx([t.score for t in replayed], abs=1e-4)


@pytest.mark.parametrize("beam", [None, 2])
def test_a_failing_joiner_leaves_its_rows_to_be_reset(beam: int | None) -> None:
    good, broken = TableJoiner(SYMBOLS, 0), False

    def joiner(frames: NDArray[np.float32], made: NDArray[np.float32]) -> NDArray[np.float32]:
        logits = good(frames, made)
        if broken:
            # The middle row alone, which the last rows do not ask about.
            logits[beam or 1] = np.nan
        return logits

    predictor = TablePredictor(3 * (beam or 1), 0)
    decoder = RNNTDecoder(predictor, joiner, symbols=SYMBOLS, features=ENCODED, beam=beam)
    frames = random_frames(0, 3, 4)
    decoder.feed(frames[:, :1])
    broken = True
    assert decoder.feed(frames[:, 1], np.array([0, 0, 1])).tolist() == [0, 0, 1]
    before = decoder.final([2])
    with pytest.raises(StateError, match="finite numbers of the joiner"):
        decoder.feed(frames[:, 1], np.array([0, 1, 0]))
    broken = False
    for use in (
        lambda: decoder.feed(frames[:, 2], np.array([0, 1, 0])),
        decoder.partial,
        lambda: decoder.final([1]),
    ):
        with pytest.raises(StateError, match=r"row 1 was left within a frame.*reset\(rows=\[1\]\)"):
            use()
    assert decoder.final([2]) == before
    decoder.reset(rows=[1])
    decoder.feed(frames[[0, 0, 0]], np.array([0, 4, 0]))
    alone = make(0, 1, beam)
    alone.feed(frames[:1])
    assert decoder.final([1]) == alone.final()


def test_a_predictor_that_fails_in_a_reset_has_to_be_reset_again() -> None:
    predictor = TablePredictor(1, 0)
    joiner = TableJoiner(SYMBOLS, 0)
    decoder = RNNTDecoder(predictor, joiner, symbols=SYMBOLS, features=ENCODED)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(predictor, "reset", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            decoder.reset()
    with pytest.raises(StateError, match="left within a frame"):
        decoder.partial()
    decoder.reset()
    assert decoder.partial()[0].ids == ()


@pytest.mark.parametrize(
    "made",
    [
        np.zeros((2, SYMBOLS + 1), np.float32),
        np.zeros((1, SYMBOLS), np.float32),
        np.zeros((2, SYMBOLS), np.int64),
        [[0.0] * SYMBOLS] * 2,
    ],
)
def test_a_joiner_of_another_shape_is_refused(made: Any) -> None:
    sizes: dict[str, Any] = {"symbols": SYMBOLS, "features": ENCODED}
    decoder = RNNTDecoder(TablePredictor(2, 0), lambda *_: made, **sizes)
    with pytest.raises(InputError, match=r"the joiner should give float32 \[2, 3\]"):
        decoder.feed(random_frames(0, 2))


@pytest.mark.parametrize(
    "made",
    [
        np.zeros((2, 3, 4), np.float32),
        np.zeros((1, 4), np.float32),
        np.zeros((2, 4), np.int64),
        (np.zeros((2, 4), np.float32), np.zeros((2, 5), np.float32)),
    ],
)
def test_a_predictor_of_another_shape_is_refused(made: Any) -> None:
    predictor = TablePredictor(2, 0)
    predictor.step = lambda _, **__: made  # type: ignore[method-assign]
    with pytest.raises(InputError, match=r"predictor should give one output, float32 \[2, feat"):
        RNNTDecoder(predictor, TableJoiner(3, 0), symbols=SYMBOLS, features=ENCODED)


def test_a_reset_row_begins_with_the_start_symbol() -> None:
    predictor = TablePredictor(4, 0)
    sizes: dict[str, Any] = {"symbols": SYMBOLS, "features": ENCODED}
    decoder = RNNTDecoder(predictor, TableJoiner(SYMBOLS, 0), start=2, beam=2, **sizes)
    decoder.feed(random_frames(0, 2, 5))
    before = predictor.prefixes[:2]
    decoder.reset(rows=[1])
    assert predictor.prefixes == [*before, (2,), (2,)]
    assert all(prefix[0] == 2 for prefix in before)


@pytest.mark.parametrize(
    ("second", "error", "message"),
    [
        (np.zeros((1, 5), np.float32), InputError, r"one output, float32 \[1, 4\], got .*\[1, 5\]"),
        (np.full((1, 4), np.inf, np.float32), StateError, "finite numbers of the predictor"),
    ],
)
def test_later_outputs_of_the_predictor_are_checked(
    second: NDArray[np.float32], error: type[Exception], message: str
) -> None:
    predictor = TablePredictor(1, 0)
    emitting = np.array([[0, 9, 0]], np.float32)
    sizes: dict[str, Any] = {"symbols": SYMBOLS, "features": ENCODED}
    decoder = RNNTDecoder(predictor, lambda *_: emitting, **sizes)
    predictor.step = lambda *_, **__: second  # type: ignore[method-assign]
    with pytest.raises(error, match=message):
        decoder.feed(random_frames(0, 1))


@pytest.mark.parametrize("beam", [None, 3])
def test_a_joiner_may_write_on_what_it_reads(beam: int | None) -> None:
    plain = TableJoiner(SYMBOLS, 4)

    def scribbling(frames: NDArray[np.float32], made: NDArray[np.float32]) -> NDArray[np.float32]:
        logits = plain(frames, made)
        frames[:], made[:] = 7, 7
        return logits

    frames = random_frames(4, 2, 6)
    kept = frames.copy()
    sizes: dict[str, Any] = {"symbols": SYMBOLS, "features": ENCODED, "beam": beam}
    found = []
    for joiner in (plain, scribbling):
        decoder = RNNTDecoder(TablePredictor(2 * (beam or 1), 4), joiner, **sizes)
        decoder.feed(frames)
        found.append(decoder.final())
    assert found[0] == found[1]
    np.testing.assert_array_equal(frames, kept)


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        (3, {"beam": 2}, "2 rows for each row of the decoder, got 3 rows"),
        (0, {}, "1 rows for each row of the decoder, got 0 rows"),
        (2, {"beam": 2, "max_symbols": 2}, "at most one symbol a frame, got max_symbols 2"),
        (2, {"beam": 0}, "beam should be an integer of at least 1"),
        (2, {"max_symbols": 0}, "max_symbols should be an integer of at least 1"),
        (2, {"blank": 3}, "blank should be an id in 0..2, got 3"),
        (2, {"start": -1}, "start should be an integer of at least 0"),
        (2, {"features": 0}, "features should be an integer of at least 1"),
    ],
)
def test_impossible_options_are_refused(rows: int, options: dict[str, Any], message: str) -> None:
    options = {"symbols": SYMBOLS, "features": ENCODED, **options}
    with pytest.raises(InputError, match=message):
        RNNTDecoder(TablePredictor(rows, 0), TableJoiner(SYMBOLS, 0), **options)
