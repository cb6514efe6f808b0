"""Decoders of frames, cut off anywhere and resumed from bytes: nothing tells that they were."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.runtime.table_transducer import ENCODED, TableJoiner, TablePredictor
from tests.runtime.test_frame_decoders import (
    END_POINTS,
    EVERY_KIND,
    KINDS,
    SEEDS,
    SYMBOLS,
    make,
    random_frames,
    results,
)
from tests.runtime.tiny_bundles import CHARACTERS, write_language_model
from treadle.decoding import CTCDecoder, DecoderSnapshot, EndPoint, RNNTDecoder
from treadle.errors import StateError
from treadle.loading import load
from treadle.npz import from_npz, to_npz

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from treadle.model import Model

    Decoder = CTCDecoder | RNNTDecoder


def taken(kind: str, seed: int = 3) -> DecoderSnapshot:
    decoder = make(kind, 2)
    decoder.feed(random_frames(seed, 2, 8), np.array([8, 5]))
    return decoder.snapshot()


@EVERY_KIND
@given(
    seed=SEEDS,
    lengths=st.lists(st.integers(0, 12), min_size=1, max_size=3),
    cut=st.integers(0, 12),
    end_point=END_POINTS,
    ended=st.integers(0, 2),
    blank=st.integers(0, SYMBOLS - 1),
)
def test_onward_to_the_bit(
    kind: str,
    seed: int,
    lengths: list[int],
    cut: int,
    end_point: EndPoint,
    ended: int,
    blank: int,
) -> None:
    frames, counts = random_frames(seed, len(lengths), 12), np.array(lengths)
    before, after = np.minimum(counts, cut), np.maximum(counts - cut, 0)
    whole, first, other = (make(kind, len(lengths), end_point, blank=blank) for _ in range(3))
    other.feed(random_frames(seed + 1, len(lengths), 7))  # what it held is forgotten
    if ended < len(lengths):
        for decoder in (whole, first):
            decoder.final([ended])
        before[ended] = after[ended] = 0
    whole.feed(frames[:, :cut], before)
    first.feed(frames[:, :cut], before)
    snapshot = first.snapshot()
    content = snapshot.to_bytes()
    other.restore(DecoderSnapshot.from_bytes(content))
    assert other.snapshot() == snapshot
    assert other.partial() == first.partial()
    read = whole.feed(frames[:, cut:], after)
    for resumed in (other, first):
        assert resumed.feed(frames[:, cut:], after).tolist() == read.tolist()
        assert resumed.snapshot() == whole.snapshot()  # with their end-point counters
    assert results(other) == results(first) == results(whole)
    assert snapshot.to_bytes() == content


@EVERY_KIND
def test_a_value_that_can_be_compared_copied_and_saved(kind: str, tmp_path: Path) -> None:
    one, same, third = taken(kind), taken(kind), taken(kind, seed=4)
    assert len({one, same, third}) == 2
    assert one != one.to_bytes()
    one.save(tmp_path / "decoder")
    assert DecoderSnapshot.load(tmp_path / "decoder") == one
    for copied in (copy.deepcopy(one), pickle.loads(pickle.dumps(one))):
        assert copied == one
    assert len(one.to_bytes()) < 6000
    with pytest.raises(TypeError, match="does not support item assignment"):
        one.arrays["rows"] = np.zeros(1)  # type: ignore[index]
    with pytest.raises(ValueError, match="read-only"):
        one.arrays["rows"][0] = 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.kind = ""  # type: ignore[misc]


@pytest.mark.parametrize("beam", [None, 3])
@given(seed=SEEDS, cut=st.integers(0, 9))
def test_a_stream_as_the_predictor(
    characters: Model, beam: int | None, seed: int, cut: int
) -> None:
    """In another stream of the model, which has read something else before."""
    symbols, rows = len(CHARACTERS), 2
    frames = 3 * random_frames(seed, rows, 9)

    def decoder() -> RNNTDecoder:
        joiner = TableJoiner(symbols, 5, predicted=symbols)
        stream = characters.stream(batch_size=rows * (beam or 1))
        return RNNTDecoder(stream, joiner, symbols=symbols, features=ENCODED, beam=beam)

    whole, first, other = decoder(), decoder(), decoder()
    other.feed(frames)
    whole.feed(frames)
    first.feed(frames[:, :cut])
    other.restore(DecoderSnapshot.from_bytes(first.snapshot().to_bytes()))
    other.feed(frames[:, cut:])
    assert other.snapshot() == whole.snapshot()
    assert results(other) == results(whole)


CONTINUE = """
import sys, numpy as np, treadle
from treadle.decoding import DecoderSnapshot, RNNTDecoder
bundle, snapshot, frames, beam = sys.argv[1:]
with treadle.load(bundle) as model:
    symbols = len(model.vocabularies["symbols"])
    stream = model.stream(batch_size=int(beam))
    decoder = RNNTDecoder(
        stream, lambda frame, made: frame + made, symbols=symbols, features=symbols, beam=int(beam)
    )
    decoder.restore(DecoderSnapshot.load(snapshot))
    decoder.feed(np.load(frames))
    print(decoder.final(n_best=int(beam)))
"""


def test_onward_in_another_process(characters: Model, tmp_path: Path) -> None:
    beam, symbols = 3, len(CHARACTERS)
    frames = np.random.default_rng(0).normal(scale=3, size=(1, 12, symbols)).astype(np.float32)
    decoder = RNNTDecoder(
        characters.stream(batch_size=beam),
        lambda frame, made: frame + made,
        symbols=symbols,
        features=symbols,
        beam=beam,
    )
    decoder.feed(frames[:, :5])
    decoder.snapshot().save(tmp_path / "snapshot")
    np.save(tmp_path / "frames.npy", frames[:, 5:])
    arguments = [str(characters.bundle.path), str(tmp_path / "snapshot")]
    command = [sys.executable, "-c", CONTINUE, *arguments, str(tmp_path / "frames.npy"), str(beam)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    decoder.feed(frames[:, 5:])
    assert done.stdout.strip() == str(decoder.final(n_best=beam))


def refused(decoder: Decoder, snapshot: DecoderSnapshot, words: str) -> None:
    """It is refused, and the decoder is as it was."""
    before = decoder.snapshot()
    with pytest.raises(StateError, match=words):
        decoder.restore(snapshot)
    assert decoder.snapshot() == before


@EVERY_KIND
def test_another_decoder(kind: str) -> None:
    snapshot = taken(kind)
    for other in set(KINDS) - {kind}:
        refused(make(other, 2), snapshot, r"is of a decoder (of the kind|with beam)")
    refused(make(kind, 1), snapshot, "with batch_size 2, but this one has 1; restore it in")
    refused(make(kind, 2, blank=1), snapshot, "with blank none, but this one has 1")
    rules = EndPoint(max_frames=9)
    refused(make(kind, 2, rules), snapshot, "with max_frames none, but this one has 9")


def test_other_sizes() -> None:
    snapshot = CTCDecoder(5, beam=4).snapshot()
    refused(CTCDecoder(5, beam=3), snapshot, "with beam 4, but this one has 3")
    refused(CTCDecoder(5), snapshot, "with beam 4, but this one has none")
    refused(CTCDecoder(6, beam=4), snapshot, "with features 5, but this one has 6")
    other = CTCDecoder(5, beam=4, kind="log-probabilities")
    refused(other, snapshot, "'CTC over logits', but this one is 'CTC over log-probabilities'")


def rnnt(predictor: Any, **options: Any) -> RNNTDecoder:
    joiner = TableJoiner(SYMBOLS, 1)
    return RNNTDecoder(predictor, joiner, symbols=SYMBOLS, features=ENCODED, **options)


def test_another_predictor(characters: Model, tmp_path: Path) -> None:
    snapshot = rnnt(TablePredictor(1, 1)).snapshot()
    refused(rnnt(TablePredictor(1, 2)), snapshot, "of table 1, but this is table 2")
    refused(rnnt(TablePredictor(1, 1), start=2), snapshot, "with start none, but this one has 2")
    refused(rnnt(TablePredictor(1, 1), max_symbols=3), snapshot, "max_symbols 10, but this one")
    symbols = len(CHARACTERS)

    def over(model: Model) -> RNNTDecoder:
        joiner = TableJoiner(symbols, 1, predicted=symbols)
        return RNNTDecoder(model.stream(), joiner, symbols=symbols, features=ENCODED)

    with load(write_language_model(tmp_path, seed=1)) as other:
        refused(over(characters), over(other).snapshot(), "the digest .* but this model, .* has")


def test_a_predictor_that_cannot_be_saved() -> None:
    class Plain:
        batch_size = 1

        def step(self, x: Any, *, active: Any = None) -> Any:  # noqa: ARG002
            return np.zeros((1, 4), np.float32)

        def select(self, rows: Any) -> None: ...
        def reset(self, rows: Any = None) -> None: ...

    with pytest.raises(StateError, match="a Plain as the predictor cannot be saved"):
        rnnt(Plain()).snapshot()


def test_a_row_within_a_frame_is_not_saved_and_is_whole_when_restored() -> None:
    broken = False

    def joiner(encoded: Any, predicted: Any) -> Any:
        if broken:
            raise RuntimeError("a joiner's own")
        return TableJoiner(SYMBOLS, 1)(encoded, predicted)

    decoder, frames = make("rnnt-beam", 2, joiner=joiner), random_frames(1, 2, 6)
    decoder.feed(frames[:, :3])
    saved = decoder.snapshot()
    broken = True
    with pytest.raises(RuntimeError):
        decoder.feed(frames[:, 3:])
    with pytest.raises(StateError, match="row 0 was left within a frame"):
        decoder.snapshot()
    broken = False
    decoder.restore(saved)
    decoder.feed(frames[:, 3:])
    whole = make("rnnt-beam", 2)
    whole.feed(frames)
    assert results(decoder) == results(whole)


@EVERY_KIND
def test_truncated_bytes(kind: str, tmp_path: Path) -> None:
    content = taken(kind).to_bytes()
    for size in range(0, len(content), 31):
        with pytest.raises(StateError, match="expected the bytes of a decoder's snapshot"):
            DecoderSnapshot.from_bytes(content[:size])
    (tmp_path / "cut").write_bytes(content[:-9])
    with pytest.raises(StateError, match=r"in .*cut: expected the bytes of a decoder's snapshot"):
        DecoderSnapshot.load(tmp_path / "cut")
    with pytest.raises(StateError, match="cannot read the snapshot"):
        DecoderSnapshot.load(tmp_path / "missing")


@EVERY_KIND
@given(place=st.integers(0, 2**32), bit=st.integers(0, 7))
def test_a_damaged_bit_is_refused_or_harmless(kind: str, place: int, bit: int) -> None:
    snapshot = taken(kind)
    content = bytearray(snapshot.to_bytes())
    content[place % len(content)] ^= 1 << bit
    try:
        found = DecoderSnapshot.from_bytes(bytes(content))
        make(kind, 2).restore(found)
    except StateError:
        return
    assert found == snapshot


@EVERY_KIND
@given(
    name=st.sampled_from(["rows", "hypotheses", "lengths", "numbers", "scores", "outputs"]),
    place=st.integers(0, 2**16),
    value=st.sampled_from([-(2**63), -1, 0, 1, 2, 3, 4, 9, 2**62, np.nan, np.inf, -np.inf]),
)
def test_an_edited_number_is_refused_or_can_be_gone_on_from(
    kind: str, name: str, place: int, value: float
) -> None:
    """Whoever edits bytes and their sums gets a StateError, or a decoder that works."""
    snapshot = taken(kind)
    if name not in snapshot.arrays:
        return
    array = snapshot.arrays[name].copy()
    if array.dtype == np.int64 and not np.isfinite(value):
        return
    array.reshape(-1)[place % array.size] = value
    edited = dataclasses.replace(snapshot, arrays={**snapshot.arrays, name: array})
    decoder = make(kind, 2)
    try:
        decoder.restore(DecoderSnapshot.from_bytes(edited.to_bytes()))
    except StateError:
        return
    final = decoder.snapshot().arrays["rows"][:, 3] == 1
    decoder.feed(random_frames(5, 2, 4), np.where(final, 0, 4))
    for transcripts in decoder.final(n_best=3):
        for transcript in transcripts:
            assert len(transcript.frames) == len(transcript.ids)
            assert all(0 < symbol < SYMBOLS for symbol in transcript.ids)
            assert np.isfinite(transcript.score)


def _array(name: str, change: Callable[[Any], Any]) -> Callable[[DecoderSnapshot], Any]:
    def changed(snapshot: DecoderSnapshot) -> DecoderSnapshot:
        array = change(snapshot.arrays[name].copy())
        return dataclasses.replace(snapshot, arrays={**snapshot.arrays, name: array})

    return changed


def _without(name: str) -> Callable[[DecoderSnapshot], Any]:
    return lambda s: dataclasses.replace(s, arrays={n: a for n, a in s.arrays.items() if n != name})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            _without("scores"),
            "should hold hypotheses, lengths, numbers, outputs, rows, scores, got",
        ),
        (_array("rows", lambda a: a[:1]), r"rows should be int64 \[2, 4\]"),
        (_array("rows", lambda a: a.astype(float)), r"rows should be int64 \[2, 4\]"),
        (_array("rows", lambda a: a * 0), "frames of emission should increase, and be below 0"),
        (_array("hypotheses", lambda a: a[:1]), "hypotheses should make a sum of"),
        (_array("lengths", lambda a: a + 2**61), "lengths should make a sum of"),
        (_array("lengths", lambda a: a[:, :1]), r"lengths should be int64 \[6, 2\]"),
        (_array("numbers", lambda a: a + SYMBOLS), "ids should be in 0..2, and not 0, the blank"),
        (_array("scores", lambda a: a * np.nan), "scores should be finite"),
        (_array("scores", lambda a: a[:, :1]), r"scores should be float64 \[6, 2\]"),
        (_array("scores", lambda a: a[0, 0]), r"lengths should be int64 \[0, 2\]"),
        (_array("outputs", lambda a: a[:, :2]), r"outputs of the predictor, float32 \[6, 4\]"),
        (_array("outputs", lambda a: a * np.nan), "NaN or infinity in its row 0"),
        (lambda s: dataclasses.replace(s, predictor=None), "and its state, got"),
    ],
)
def test_snapshots_that_do_not_fit(
    change: Callable[[DecoderSnapshot], DecoderSnapshot], words: str
) -> None:
    decoder = make("rnnt-beam", 2)
    decoder.feed(random_frames(9, 2, 4))
    refused(decoder, change(taken("rnnt-beam")), words)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": np.array("treadle-decoder-snapshot/2")}, "snapshot/2', expected .*update tre"),
        ({"format": np.array("treadle-snapshot/1")}, "take it of a decoder, or update treadle"),
        ({"kind": None}, "that are none, or damaged .'kind'"),
        ({"settings": np.array("beam")}, "that are none, or damaged"),
        ({"settings": np.array("beam=x")}, "that are none, or damaged"),
        ({"predictor/steps": np.zeros(6)}, "steps of a snapshot should be int64"),
        ({"predictor/digest": None}, "expected the bytes of a snapshot, got"),
        ({"stranger": np.zeros(6)}, "that are none, or damaged .'stranger'"),
    ],
)
def test_bytes_of_something_else(change: dict[str, Any], words: str) -> None:
    arrays = {**from_npz(taken("rnnt-greedy").to_bytes()), **change}
    kept = {name: array for name, array in arrays.items() if array is not None}
    with pytest.raises(StateError, match=words):
        DecoderSnapshot.from_bytes(to_npz(kept))
