"""What a stream refuses, in which words, and that it is as it was afterwards."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.runtime.tiny_bundles import FEATURES
from treadle import sequence
from treadle.errors import DeviceError, InputError, StateError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from treadle.model import Model
    from treadle.stream import Stream

INTS, FLOATS = np.int64, np.float32

CALLS: dict[str, Callable[[Stream], Any]] = {
    "step": lambda s: s.step(np.array([1])),
    "feed": lambda s: s.feed(np.array([[1]])),
    "unroll": lambda s: s.unroll(np.array([[1]])),
    "reset": lambda s: s.reset(),
    "select": lambda s: s.select([0]),
    "rewind": lambda s: s.rewind(0),
    "state": lambda s: s.state(),
    "snapshot": lambda s: s.snapshot(),
    "fork": lambda s: s.fork(),
}


@pytest.fixture
def stream(characters: Model) -> Iterator[Stream]:
    """Two rows, one step on; whatever is refused, the next step must be as if nothing was."""
    with characters.stream(batch_size=2) as opened, characters.stream(batch_size=2) as twin:
        opened.step(np.array([3, 4]))
        twin.step(np.array([3, 4]))
        yield opened
        assert np.array_equal(opened.step(np.array([5, 6])), twin.step(np.array([5, 6])))
        assert opened.steps.tolist() == [2, 2]


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (np.zeros(0, INTS), r"token should be int64 \[2\], got int64 \[0\]; open a stream of the"),
        (np.zeros(3, INTS), r"token should be int64 \[2\], got int64 \[3\]"),
        (np.zeros((2, 1), INTS), r"should be int64 \[2\], got int64 \[2, 1\]; step\(\) reads one"),
        (np.array(1), r"token should be int64 \[2\], got int64 \[\]"),
        (np.zeros(2, FLOATS), r"got float32 \[2\]; convert it: \.astype\('int64'\)"),
        (np.zeros(2, np.int32), r"got int32 \[2\]; convert it"),
        (np.zeros(2, ">i8"), r"got >i8 \[2\]; convert it"),
        (np.array([True, False]), r"got bool \[2\]"),
        (["a", "b"], r"got <U1 \[2\]"),
        ([[1], [1, 2]], "token should be one array without gaps"),
        (None, r"got object \[\]"),
        (np.array([11, 0]), r"token should hold ids in 0\.\.10, got 11 at \[0\]; leave it out"),
        (np.array([0, -1]), r"token should hold ids in 0\.\.10, got -1 at \[1\]"),
        (np.array([0, -(2**63)]), r"got -9223372036854775808 at \[1\]"),
    ],
)
def test_ids_that_do_not_fit_a_step(stream: Stream, x: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        stream.step(x)


@pytest.mark.parametrize("method", ["feed", "unroll"])
@pytest.mark.parametrize(
    ("x", "lengths", "words"),
    [
        (np.zeros((0, 3), INTS), None, r"token should be int64 \[2, time\], got int64 \[0, 3\]"),
        (np.zeros(2, INTS), None, r"should be int64 \[2, time\], got int64 \[2\]; step\(\) reads"),
        (np.zeros((2, 3), FLOATS), None, r"got float32 \[2, 3\]; convert it"),
        (np.array([[1, 2], [3, 11]]), None, r"ids in 0\.\.10, got 11 at \[1, 1\]"),
        (np.zeros((2, 3), INTS), [1, 4], r"the length of row 1 should be in 0\.\.3, the time axis"),
        (np.zeros((2, 3), INTS), [-1, 1], r"the length of row 0 should be in 0\.\.3.*got -1"),
        (np.zeros((2, 3), INTS), [1], r"lengths should be int64 \[2\], one for each row, got"),
        (np.zeros((2, 3), INTS), [1.0, 2.0], r"lengths should be int64 \[2\].*got float64 \[2\]"),
        (np.zeros((2, 3), INTS), [[1], [1, 2]], "lengths should be one array without gaps"),
    ],
)
def test_sequences_that_do_not_fit(
    stream: Stream, method: str, x: Any, lengths: Any, words: str
) -> None:
    with pytest.raises(InputError, match=words):
        getattr(stream, method)(x, lengths)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite(features: Model, bad: float) -> None:
    stream = features.stream(batch_size=2)
    before = stream.state()
    x = np.ones((2, FEATURES), FLOATS)
    x[1, 4] = bad
    with pytest.raises(InputError, match=rf"x should hold finite numbers, got {bad} at \[1, 4\]"):
        stream.step(x)
    for read in (stream.feed, stream.unroll):
        with pytest.raises(InputError, match=rf"finite numbers, got {bad} at \[1, 0, 4\]"):
            read(x[:, None])
    with pytest.raises(InputError, match=r"x should be float32 \[2, 5\], got float64 \[2, 5\]"):
        stream.step(np.ones((2, FEATURES)))
    for name, array in stream.state().items():
        assert np.array_equal(array, before[name])
    assert stream.steps.tolist() == [0, 0]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda s: s.reset([2]), r"rows should be in 0\.\.1, got 2\.\.2"),
        (lambda s: s.reset([-1]), r"rows should be in 0\.\.1, got -1\.\.-1"),
        (lambda s: s.reset([0.5]), r"rows should be a list of integers, got float64 \[1\]"),
        (lambda s: s.reset(np.array([True, False])), "list of integers, got bool"),
        (lambda s: s.reset([[1], [0, 1]]), "rows should be one array without gaps"),
        (lambda s: s.select([0]), "select needs one index for each of 2 rows, got 1"),
        (lambda s: s.select([0, 2]), r"rows should be in 0\.\.1, got 0\.\.2"),
        (lambda s: s.rewind(-1), "steps should be an integer of at least 0, got -1"),
        (lambda s: s.rewind(1.5), "steps should be an integer of at least 0, got 1.5"),
    ],
)
def test_rows_and_counts_that_are_none(
    stream: Stream, call: Callable[[Stream], Any], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        call(stream)


def test_no_further_back_than_the_history(stream: Stream, characters: Model) -> None:
    with pytest.raises(
        StateError, match=r"cannot rewind 1 steps: the history holds 0; .*history=1"
    ):
        stream.rewind(1)
    remembering = characters.stream(history=2)
    remembering.unroll(np.array([[1, 2, 3]]))
    with pytest.raises(StateError, match="cannot rewind 3 steps: the history holds 2"):
        remembering.rewind(3)
    assert remembering.steps.tolist() == [3]
    for forget in (CALLS["reset"], CALLS["select"], lambda s: s.restore(s.snapshot())):
        remembering.step(np.array([1]))
        forget(remembering)
        with pytest.raises(StateError, match="the history holds 0"):
            remembering.rewind(1)


@pytest.mark.parametrize("name", CALLS)
def test_after_close(characters: Model, name: str) -> None:
    stream = characters.stream()
    stream.close()
    stream.close()
    with pytest.raises(StateError, match=r"this stream is closed; open another with Model\.stream"):
        CALLS[name](stream)


def test_restore_after_close(characters: Model) -> None:
    stream = characters.stream()
    snapshot = stream.snapshot()
    stream.close()
    with pytest.raises(StateError, match="this stream is closed"):
        stream.restore(snapshot)


@pytest.mark.parametrize("name", [*CALLS, "close"])
def test_one_thread_at_a_time(
    characters: Model, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    stream, expected = characters.stream(), characters.stream().unroll(np.array([[1, 2]]))
    inside, done = threading.Event(), threading.Event()
    run_sequence = sequence.run_sequence

    def slow(*arguments: Any) -> Any:
        inside.set()
        assert done.wait(30)
        return run_sequence(*arguments)

    monkeypatch.setattr("treadle.sequence.run_sequence", slow)
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(stream.unroll(np.array([[1, 2]]))))
    thread.start()
    assert inside.wait(30)
    try:
        words = "this stream is in use by another call.*give each thread its own"
        with pytest.raises(StateError, match=words):
            CALLS[name](stream) if name in CALLS else stream.close()
    finally:
        done.set()
        thread.join()
    assert np.array_equal(found[0], expected)
    stream.step(np.array([3]))


def test_threads_with_streams_of_their_own(characters: Model) -> None:
    ids = np.random.default_rng(5).integers(0, 11, (4, 60))
    expected = characters.stream(batch_size=4).unroll(ids)
    found: dict[int, Any] = {}

    def run(row: int) -> None:
        with characters.stream() as stream:
            found[row] = np.stack([stream.step(ids[row : row + 1, t])[0] for t in range(60)])

    threads = [threading.Thread(target=run, args=(row,)) for row in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for row in range(4):
        assert np.array_equal(found[row], expected[row])


@pytest.mark.parametrize("method", ["step", "unroll"])
def test_a_failure_of_the_engine_leaves_the_state(
    stream: Stream, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    def fail(*_: Any) -> Any:
        raise RuntimeError("no memory")

    with monkeypatch.context() as patch:
        patch.setattr("treadle.sequence.run_sequence", fail)
        patch.setattr(stream._bound, "step", fail)
        x = np.zeros(2, INTS) if method == "step" else np.zeros((2, 3), INTS)
        words = "onnxruntime failed to run the model: no memory; the state is as it was"
        with pytest.raises(DeviceError, match=words):
            getattr(stream, method)(x)
