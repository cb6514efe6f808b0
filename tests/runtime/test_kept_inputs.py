"""The inputs that a stream keeps, whatever is done to it, and as they stand in a snapshot."""

from __future__ import annotations

import dataclasses
import pickle
import tracemalloc
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.runtime.driven_stream import Driven, schedules
from tests.runtime.tiny_bundles import CHARACTERS, FEATURES
from treadle.errors import StateError
from treadle.kept_inputs import KeptInputs
from treadle.npz import from_npz, to_npz
from treadle.state import Snapshot

if TYPE_CHECKING:
    from collections.abc import Callable

    from treadle.model import Model

ROWS = 3


def rows_of(snapshot: Snapshot) -> list[Any]:
    """What each row has kept, without padding."""
    kept = snapshot.inputs
    assert kept is not None
    assert not any(
        row[length:].any() for row, length in zip(kept.x, kept.lengths.tolist(), strict=True)
    )
    return [row[:length].tolist() for row, length in zip(kept.x, kept.lengths, strict=True)]


def taken(model: Model) -> Snapshot:
    """Of rows that read 4, 2 and no ids, of which the last three are kept."""
    with model.stream(batch_size=ROWS, history=3) as stream:
        stream.feed(np.array([[1, 2, 3, 4], [5, 6, 0, 0], [0, 0, 0, 0]]), np.array([4, 2, 0]))
        return stream.snapshot(inputs=True)


@given(events=schedules(ROWS, len(CHARACTERS)), size=st.integers(1, 5))
def test_what_is_kept_is_the_end_of_what_was_read(
    characters: Model, events: list[Any], size: int
) -> None:
    driven = Driven(characters, ROWS, size)
    for event in events:
        driven.play(event)
        snapshot = driven.stream.snapshot(inputs=True)
        assert rows_of(snapshot) == driven.kept
        assert snapshot.inputs is not None
        assert snapshot.inputs.lengths.max() <= size
        assert snapshot.inputs.x.shape[1] <= size
        for read, kept in zip(driven.read, driven.kept, strict=True):
            assert read[len(read) - len(kept) :] == kept
        wholes = [read == kept for read, kept in zip(driven.read, driven.kept, strict=True)]
        assert snapshot.complete.tolist() == wholes
        assert snapshot.steps.tolist() == [len(read) for read in driven.read]
    driven.stream.close()


def test_a_short_row_keeps_its_inputs_beside_a_long_one(characters: Model) -> None:
    snapshot = taken(characters)
    assert rows_of(snapshot) == [[2, 3, 4], [5, 6], []]
    assert snapshot.complete.tolist() == [False, True, True]


def test_vectors_are_kept_as_they_were(features: Model) -> None:
    stream = features.stream(batch_size=2, history=2)
    x = np.arange(2 * 3 * FEATURES, dtype=np.float32).reshape(2, 3, FEATURES)
    for t in range(3):
        given = x[:, t].copy()
        stream.step(given)
        given[:] = 7  # a stream has a copy of its own
    kept = stream.snapshot(inputs=True).inputs
    assert kept is not None
    np.testing.assert_array_equal(kept.x, x[:, 1:])
    assert kept.vocabulary == ""


def test_a_step_that_is_refused_keeps_nothing(features: Model) -> None:
    stream = features.stream(history=3)
    with pytest.raises(ValueError, match="finite"):
        stream.step(np.full((1, FEATURES), np.nan, np.float32))
    with pytest.raises(ValueError, match="finite"):
        stream.feed(np.full((1, 2, FEATURES), np.inf, np.float32))
    assert rows_of(stream.snapshot(inputs=True)) == [[]]


def test_a_long_feed_keeps_no_more_than_the_history(characters: Model) -> None:
    stream = characters.stream(history=4)
    ids = np.random.default_rng(0).integers(0, len(CHARACTERS), (1, 1500))
    stream.feed(ids)
    assert rows_of(stream.snapshot(inputs=True)) == ids[:, -4:].tolist()


def test_a_long_feed_is_not_held_by_its_end(features: Model) -> None:
    x = np.ones((1, 20_000, FEATURES), np.float32)
    with features.stream(history=4) as stream:
        stream.feed(x[:, :10])
        tracemalloc.start()
        try:
            stream.feed(x)
            held, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert held < x.nbytes // 10


def test_only_a_stream_with_a_history_keeps_inputs(characters: Model) -> None:
    stream = characters.stream()
    stream.step(np.array([1]))
    with pytest.raises(StateError, match=r"keeps no inputs; open it with .*history=N"):
        stream.snapshot(inputs=True)
    assert stream.snapshot().inputs is None


def test_snapshots_stay_small_unless_inputs_are_asked_for(characters: Model) -> None:
    plain, remembering = characters.stream(), characters.stream(history=100)
    for stream in (plain, remembering):
        stream.feed(np.ones((1, 100), np.int64))
    assert remembering.snapshot().to_bytes() == plain.snapshot().to_bytes()
    assert remembering.snapshot() == plain.snapshot()
    assert remembering.snapshot(inputs=True) != plain.snapshot()


def test_a_snapshot_without_inputs_leaves_only_what_comes_after(characters: Model) -> None:
    stream = characters.stream(history=5)
    stream.feed(np.array([[1, 2]]))
    stream.restore(stream.snapshot())
    stream.step(np.array([3]))
    snapshot = stream.snapshot(inputs=True)
    assert rows_of(snapshot) == [[3]]
    assert snapshot.complete.tolist() == [False]
    stream.reset()
    stream.step(np.array([4]))
    assert stream.snapshot(inputs=True).complete.tolist() == [True]


def test_a_shorter_history_takes_over_the_end(characters: Model) -> None:
    with characters.resume(taken(characters), history=1) as stream:
        again = stream.snapshot(inputs=True)
    assert rows_of(again) == [[4], [6], []]
    assert again.complete.tolist() == [False, False, True]


# In a snapshot


def test_bytes_and_back(characters: Model) -> None:
    snapshot = taken(characters)
    for copied in (
        Snapshot.from_bytes(snapshot.to_bytes()),
        pickle.loads(pickle.dumps(snapshot)),
        taken(characters),
    ):
        assert copied == snapshot
        assert hash(copied) == hash(snapshot)
        assert rows_of(copied) == rows_of(snapshot)
    assert from_npz(snapshot.to_bytes())["format"] == "treadle-snapshot/2"
    assert from_npz(characters.stream().snapshot().to_bytes())["format"] == "treadle-snapshot/1"


def test_inputs_cannot_be_changed(characters: Model) -> None:
    kept = taken(characters).inputs
    assert kept is not None
    for array in (kept.x, kept.lengths):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        kept.vocabulary = ""  # type: ignore[misc]


def test_what_lies_beyond_a_length_is_cleared() -> None:
    kept = KeptInputs(np.array([[1, 9, 9], [2, 3, 9]]), np.array([1, 2]))
    assert kept.x.tolist() == [[1, 0], [2, 3]]
    vectors = KeptInputs(np.full((1, 2, 2), np.nan, np.float32), np.array([0]))
    assert vectors.x.shape == (1, 0, 2)


@pytest.mark.parametrize(
    ("x", "lengths", "words"),
    [
        (np.zeros(3, np.int64), np.zeros(3, np.int64), r"\[batch, time, …\], got int64 \[3\]"),
        (np.zeros((1, 2)), np.array([1]), r"bool, float32, int64 .*got float64 \[1, 2\]"),
        (np.zeros((1, 2), ">i8"), np.array([1]), r"got >i8 \[1, 2\]"),
        (np.array([["a"]]), np.array([1]), r"got <U1 \[1, 1\]"),
        (np.zeros((2, 2), np.int64), np.array([1]), r"int64 \[2\] within 0\.\.2.*got int64 \[1\]"),
        (np.zeros((1, 2), np.int64), np.array([3]), r"within 0\.\.2"),
        (np.zeros((1, 2), np.int64), np.array([-1]), r"within 0\.\.2"),
        (np.zeros((1, 2), np.int64), np.array([1.0]), "got float64"),
        (np.zeros((0, 2), np.int64), np.zeros(0, np.int64), r"int64 \[0\]"),
    ],
)
def test_arrays_that_are_no_inputs(x: Any, lengths: Any, words: str) -> None:
    with pytest.raises(StateError, match=words):
        KeptInputs(x, lengths)


def test_more_inputs_than_steps_or_other_rows(characters: Model) -> None:
    snapshot = taken(characters)
    for change in (
        {"steps": np.array([4, 1, 0])},
        {"inputs": KeptInputs(np.zeros((2, 1), np.int64), np.zeros(2, np.int64))},
    ):
        with pytest.raises(StateError, match=r"inputs of 3 rows.*none more than steps"):
            snapshot.replace(**change)


def test_truncated_bytes(characters: Model) -> None:
    content = taken(characters).to_bytes()
    for size in range(0, len(content), 31):
        with pytest.raises(StateError, match="expected the bytes of a snapshot"):
            Snapshot.from_bytes(content[:size])


@given(place=st.integers(0, 2**32), bit=st.integers(0, 7))
def test_a_damaged_bit_is_refused_or_harmless(characters: Model, place: int, bit: int) -> None:
    snapshot = taken(characters)
    content = bytearray(snapshot.to_bytes())
    content[place % len(content)] ^= 1 << bit
    try:
        found = Snapshot.from_bytes(bytes(content))
        characters.resume(found).close()
    except StateError:
        return
    assert found == snapshot


EDITS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "an id out of range": lambda a: a["inputs/x"].__setitem__((0, 0), 99),
    "a negative id": lambda a: a["inputs/x"].__setitem__((1, 1), -1),
    "vectors": lambda a: a.update({"inputs/x": np.zeros((ROWS, 3, 5), np.float32)}),
    "text": lambda a: a.update({"inputs/x": np.full((ROWS, 3), "a")}),
    "a structure": lambda a: a.update({"inputs/x": np.zeros((ROWS, 3), "i8,f4")}),
    "no axes": lambda a: a.update({"inputs/x": np.array(1)}),
    "longer than it is": lambda a: a["inputs/lengths"].__setitem__(0, 9),
    "no lengths": lambda a: a.pop("inputs/lengths"),
    "no inputs": lambda a: a.pop("inputs/x"),
    "no vocabulary": lambda a: a.pop("inputs/vocabulary"),
    "another vocabulary": lambda a: a.update({"inputs/vocabulary": np.array("sha256:0")}),
    "numbers as vocabulary": lambda a: a.update({"inputs/vocabulary": np.zeros(1 << 16)}),
    "a stranger": lambda a: a.update({"inputs/y": np.zeros(1)}),
    "an earlier format": lambda a: a.update(format=np.array("treadle-snapshot/1")),
    "a later format": lambda a: a.update(format=np.array("treadle-snapshot/3")),
    "one row less": lambda a: a.update({"inputs/x": a["inputs/x"][1:]}),
    "fewer steps": lambda a: a["steps"].__setitem__(0, 1),
}


@pytest.mark.parametrize("edit", EDITS)
def test_bytes_that_were_edited(characters: Model, edit: str) -> None:
    arrays = from_npz(taken(characters).to_bytes())
    EDITS[edit](arrays)
    with characters.stream(batch_size=ROWS, history=2) as stream:
        stream.step(np.array([1, 2, 3]))
        before = stream.snapshot(inputs=True)
        with pytest.raises(StateError):
            stream.restore(Snapshot.from_bytes(to_npz(arrays)))
        assert stream.snapshot(inputs=True) == before


def test_numbers_that_are_not_finite_are_refused(features: Model) -> None:
    stream = features.stream(history=2)
    stream.step(np.ones((1, FEATURES), np.float32))
    snapshot = stream.snapshot(inputs=True)
    assert snapshot.inputs is not None
    poisoned = KeptInputs(np.full_like(snapshot.inputs.x, np.nan), snapshot.inputs.lengths)
    with pytest.raises(StateError, match=r"inputs of the snapshot do not fit .* finite numbers"):
        stream.restore(snapshot.replace(inputs=poisoned))
    assert stream.snapshot(inputs=True) == snapshot
