"""Another model goes on from what a stream has read, and says where that was not all."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from contextlib import closing
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.runtime.driven_stream import Driven, schedules
from tests.runtime.tiny_bundles import (
    CHARACTERS,
    FEATURES,
    HIDDEN,
    reseal,
    start_from_file,
    write_language_model,
    write_transducer,
)
from treadle import sequence
from treadle.errors import DeviceError, InputError, StateError
from treadle.loading import load
from treadle.state import Snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from treadle.model import Model
    from treadle.stream import Stream

ROWS = 3
SOURCES = [[1, 2, 3], [4], list(range(1, 9)) * 2 + [1]]
READ = [[1, 2, 3, 4], [5, 6], []]


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Model]:
    """The model "characters" with other weights."""
    with load(write_language_model(tmp_path_factory.mktemp("other"), seed=1)) as model:
        yield model


@pytest.fixture(scope="module")
def other_decoder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Model]:
    """The model "pronounce" with other weights."""
    with load(write_transducer(tmp_path_factory.mktemp("decoder"), seed=1)) as model:
        yield model


def taken(model: Model, history: int = 9, sources: Any = None) -> Snapshot:
    """Of three rows that have read READ."""
    x = np.zeros((ROWS, 4), np.int64)
    for row, ids in enumerate(READ):
        x[row, : len(ids)] = ids
    rows = 1 if sources else ROWS
    with model.stream(sources, batch_size=rows, history=history) as stream:
        stream.feed(x, np.array([4, 2, 0]))
        return stream.snapshot(inputs=True)


def assert_is_as_if_it_had_read(stream: Stream, model: Model, rows: list[list[int]]) -> None:
    """Each row has the bits of a stream of its own that made these steps."""
    for row, ids in enumerate(rows):
        with closing(model.stream()) as alone:
            for token in ids:
                alone.step(np.array([token]))
            for name, array in alone.state().items():
                np.testing.assert_array_equal(stream.state()[name][row], array[0])


@given(data=st.data(), size=st.integers(1, 12), history=st.integers(0, 3))
def test_the_other_model_has_read_what_was_kept(
    characters: Model, other: Model, data: Any, size: int, history: int
) -> None:
    driven = Driven(characters, ROWS, size)
    for event in data.draw(schedules(ROWS, len(CHARACTERS))):
        driven.play(event)
    snapshot = Snapshot.from_bytes(driven.stream.snapshot(inputs=True).to_bytes())
    with other.resume(snapshot, reprime=True, history=history) as stream:
        assert_is_as_if_it_had_read(stream, other, driven.kept)
        assert stream.steps.tolist() == [len(read) for read in driven.read]
        assert stream.reprimed is not None
        wholes = [read == kept for read, kept in zip(driven.read, driven.kept, strict=True)]
        assert stream.reprimed.tolist() == wholes
        token = np.array([1, 2, 3])
        stream.step(token)
        longer = [[*kept, new] for kept, new in zip(driven.kept, [1, 2, 3], strict=True)]
        assert_is_as_if_it_had_read(stream, other, longer)
    driven.stream.close()


@pytest.mark.parametrize("history", [1, 2, 3, 9])
def test_a_tail_is_read_and_said_to_be_one(characters: Model, other: Model, history: int) -> None:
    stream = other.stream(batch_size=ROWS)
    stream.restore(taken(characters, history), reprime=True)
    assert_is_as_if_it_had_read(stream, other, [ids[-history:] for ids in READ])
    assert stream.reprimed is not None
    assert stream.reprimed.tolist() == [history >= len(ids) for ids in READ]
    assert stream.fork().reprimed is stream.reprimed
    assert stream.steps.tolist() == [4, 2, 0]


def test_a_tail_stays_one_through_a_third_model(
    characters: Model, other: Model, tmp_path: Path
) -> None:
    second = other.resume(taken(characters, 3), reprime=True, history=9)
    second.step(np.array([7, 7, 7]))
    passed_on = second.snapshot(inputs=True)
    assert passed_on.complete.tolist() == [False, True, True]
    with load(write_language_model(tmp_path, seed=2)) as third:
        stream = third.resume(passed_on, reprime=True)
        assert_is_as_if_it_had_read(stream, third, [[2, 3, 4, 7], [5, 6, 7], [7]])
        assert stream.reprimed is not None
        assert stream.reprimed.tolist() == [False, True, True]
    second.reset([0])
    assert second.snapshot(inputs=True).complete.tolist() == [True, True, True]


def test_a_snapshot_of_its_own_is_restored_as_ever(characters: Model) -> None:
    with_inputs = taken(characters)
    stream = characters.stream(batch_size=ROWS, history=4)
    for snapshot in (with_inputs, characters.stream(batch_size=ROWS).snapshot()):
        stream.restore(snapshot, reprime=True)
        assert stream.reprimed is None
        assert stream.snapshot() == Snapshot(
            snapshot.digest, snapshot.state, snapshot.context, snapshot.steps
        )
    assert characters.resume(with_inputs, reprime=True).reprimed is None


def test_going_on_from_its_own_forgets_that_it_was_re_primed(
    characters: Model, other: Model
) -> None:
    stream = other.resume(taken(characters), reprime=True)
    assert stream.reprimed is not None
    stream.restore(stream.snapshot())
    assert stream.reprimed is None


def test_many_inputs_are_read_in_spans(
    characters: Model, other: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = np.random.default_rng(3).integers(0, len(CHARACTERS), (2, 40))
    with characters.stream(batch_size=2, history=50) as stream:
        stream.feed(ids, np.array([40, 11]))
        snapshot = stream.snapshot(inputs=True)
    monkeypatch.setattr(sequence, "SPAN", 7)
    rows = [ids[0].tolist(), ids[1, :11].tolist()]
    assert_is_as_if_it_had_read(other.resume(snapshot, reprime=True), other, rows)


def test_from_first_states_of_its_own(characters: Model, tmp_path: Path) -> None:
    rows = {"recurrent.0.hidden": np.linspace(-1, 1, HIDDEN, dtype=np.float32)}
    with load(start_from_file(write_language_model(tmp_path, seed=1), rows)) as model:
        stream = model.resume(taken(characters), reprime=True)
        assert_is_as_if_it_had_read(stream, model, READ)
        np.testing.assert_array_equal(
            stream.state()["recurrent.0.hidden"][2], rows["recurrent.0.hidden"]
        )


def test_vectors(features: Model, tmp_path: Path) -> None:
    x = np.random.default_rng(4).normal(size=(2, 6, FEATURES)).astype(np.float32)
    with features.stream(batch_size=2, history=6) as stream:
        stream.feed(x, np.array([6, 4]))
        snapshot = stream.snapshot(inputs=True)
    with load(write_language_model(tmp_path, seed=1, features=FEATURES)) as model:
        stream, expected = model.resume(snapshot, reprime=True), model.stream(batch_size=2)
        expected.feed(x, np.array([6, 4]))
        for name, array in expected.state().items():
            np.testing.assert_array_equal(stream.state()[name], array)


CONTINUE = """
import sys, numpy as np, treadle
bundle, snapshot = sys.argv[1:]
with treadle.load(bundle) as model:
    stream = model.resume(treadle.Snapshot.load(snapshot), reprime=True)
    print(stream.step(np.array([7, 8, 9])).tobytes().hex(), stream.reprimed.tolist())
"""


def test_in_another_process(characters: Model, other: Model, tmp_path: Path) -> None:
    snapshot = taken(characters, 3)
    snapshot.save(tmp_path / "snapshot")
    command = [sys.executable, "-c", CONTINUE, str(other.bundle.path), str(tmp_path / "snapshot")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    output = other.resume(snapshot, reprime=True).step(np.array([7, 8, 9]))
    assert done.stdout.strip() == f"{output.tobytes().hex()} [False, True, True]"
    assert done.stderr == ""


# A model with an encoder


def test_a_decoder_reads_its_source_anew(pronounce: Model, other_decoder: Model) -> None:
    snapshot = taken(pronounce, sources=SOURCES)
    stream = other_decoder.resume(snapshot, reprime=True, source=SOURCES)
    expected = other_decoder.stream(SOURCES)
    expected.feed(np.array([[1, 2, 3, 4], [5, 6, 0, 0], [0, 0, 0, 0]]), np.array([4, 2, 0]))
    for name, array in expected.state().items():
        np.testing.assert_array_equal(stream.state()[name], array)
    assert stream.reprimed is not None
    assert stream.reprimed.all()
    token = np.array([3, 4, 5])
    np.testing.assert_array_equal(stream.step(token), expected.step(token))
    padded, lengths = np.zeros((ROWS, 17), np.int64), np.array([3, 1, 17])
    for row, source in enumerate(SOURCES):
        padded[row, : len(source)] = source
    again = other_decoder.stream([[8]] * ROWS)
    again.restore(snapshot, reprime=True, source=padded, source_lengths=lengths)
    with other_decoder.resume(snapshot, reprime=True, source=SOURCES) as listed:
        np.testing.assert_array_equal(again.step(token), listed.step(token))


def test_sources_that_do_not_fit(pronounce: Model, other_decoder: Model) -> None:
    snapshot = taken(pronounce, sources=SOURCES)
    with pytest.raises(InputError, match=r"reads a source, .* reprime=True, source=…"):
        other_decoder.resume(snapshot, reprime=True)
    with pytest.raises(InputError, match="the source has 2 rows, but the snapshot has 3"):
        other_decoder.resume(snapshot, reprime=True, source=SOURCES[:2])
    with pytest.raises(InputError, match=r"source should hold ids in 0\.\.8, got 99"):
        other_decoder.resume(snapshot, reprime=True, source=[[1], [99], [2]])
    with pytest.raises(InputError, match="leave source out"):
        other_decoder.resume(snapshot, source=SOURCES)
    # Its own model has what the source gave.
    assert pronounce.resume(snapshot, reprime=True, source=SOURCES).reprimed is None


# What is refused


def test_what_cannot_be_re_primed(characters: Model, other: Model, features: Model) -> None:
    with pytest.raises(StateError, match=r"is of a model with the digest .*: reprime=True"):
        other.resume(taken(characters))
    with pytest.raises(StateError, match=r"keeps no inputs .*history=N.*snapshot\(inputs=True\)"):
        other.resume(characters.stream().snapshot(), reprime=True)
    with pytest.raises(
        StateError, match=r"are int64 \[batch, time\], but .* reads float32 \[batch, time, 5\]"
    ):
        features.resume(taken(characters), reprime=True)
    with pytest.raises(StateError, match=r"has 3 rows, but this stream has 1"):
        other.stream().restore(taken(characters), reprime=True)
    with pytest.raises(InputError, match="reads no source"):
        other.resume(taken(characters), reprime=True, source=[[1]] * ROWS)


def test_vectors_of_another_size(features: Model, tmp_path: Path) -> None:
    with features.stream(history=1) as stream:
        snapshot = stream.snapshot(inputs=True)
    with (
        load(write_language_model(tmp_path, features=FEATURES + 1)) as wider,
        pytest.raises(StateError, match=r"\[batch, time, 5\], but .* \[batch, time, 6\]"),
    ):
        wider.resume(snapshot, reprime=True)


@pytest.mark.parametrize("change", ["order", "special"])
def test_ids_that_mean_other_symbols(characters: Model, tmp_path: Path, change: str) -> None:
    bundle = write_language_model(tmp_path, seed=1)
    symbols = json.loads((bundle / "symbols.json").read_text())
    if change == "order":
        symbols["symbols"].reverse()
        symbols["unknown"] = len(CHARACTERS) - 1
    else:
        symbols["start"] = 1
    (bundle / "symbols.json").write_text(json.dumps(symbols))
    reseal(bundle, json.loads((bundle / "manifest.json").read_text()))
    with (
        load(bundle) as model,
        pytest.raises(StateError, match=r"of another vocabulary .* mean other symbols"),
    ):
        model.resume(taken(characters), reprime=True)


def test_a_vocabulary_written_otherwise_is_the_same(characters: Model, tmp_path: Path) -> None:
    bundle = write_language_model(tmp_path, seed=1)
    document = json.loads((bundle / "symbols.json").read_text())
    (bundle / "symbols.json").write_text(json.dumps(dict(reversed(document.items()))))
    reseal(bundle, json.loads((bundle / "manifest.json").read_text()))
    with load(bundle) as model:
        assert model.resume(taken(characters), reprime=True).steps.tolist() == [4, 2, 0]


def test_a_failure_of_the_engine_leaves_the_stream(
    characters: Model, other: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> Any:
        raise RuntimeError("no memory")

    stream = other.stream(batch_size=ROWS, history=2)
    stream.step(np.array([1, 2, 3]))
    before, snapshot = stream.snapshot(inputs=True), taken(characters)
    with monkeypatch.context() as patch:
        patch.setattr("treadle.sequence.run_sequence", fail)
        for go_on in (stream.restore, other.resume):
            with pytest.raises(DeviceError, match="failed to read the kept inputs: no memory"):
                go_on(snapshot, reprime=True)
    assert stream.snapshot(inputs=True) == before
    stream.rewind(1)
    assert stream.reprimed is None


def test_a_closed_stream_and_a_closed_model(characters: Model, tmp_path: Path) -> None:
    snapshot = taken(characters)
    with load(write_language_model(tmp_path, seed=1)) as model:
        stream = model.stream(batch_size=ROWS, history=1)
        stream.close()
        with pytest.raises(StateError, match="this stream is closed"):
            stream.restore(snapshot, reprime=True)
        with pytest.raises(StateError, match="this stream is closed"):
            stream.snapshot(inputs=True)
    with pytest.raises(StateError, match="is closed; load it again"):
        model.resume(snapshot, reprime=True)


def test_one_thread_at_a_time(
    characters: Model, other: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream, snapshot = other.stream(batch_size=ROWS, history=4), taken(characters)
    inside, done = threading.Event(), threading.Event()
    run_sequence = sequence.run_sequence

    def slow(*arguments: Any) -> Any:
        inside.set()
        assert done.wait(30)
        return run_sequence(*arguments)

    monkeypatch.setattr("treadle.sequence.run_sequence", slow)
    thread = threading.Thread(target=lambda: stream.restore(snapshot, reprime=True))
    thread.start()
    assert inside.wait(30)
    try:
        for call in (
            lambda: stream.step(np.array([1, 2, 3])),
            lambda: stream.snapshot(inputs=True),
            lambda: stream.restore(snapshot, reprime=True),
            stream.close,
        ):
            with pytest.raises(StateError, match="in use by another call"):
                call()
    finally:
        done.set()
        thread.join()
    assert_is_as_if_it_had_read(stream, other, READ)


# Members of a pool


def test_a_member_goes_on_from_inputs(characters: Model, other: Model) -> None:
    with characters.stream(history=2) as stream:
        stream.feed(np.array([[1, 2, 3]]))
        snapshot = stream.snapshot(inputs=True)
    assert not snapshot.complete[0]
    with other.pool(2, exact=True) as pool:
        member = pool.join(snapshot, reprime=True)
        with closing(other.resume(snapshot, reprime=True)) as alone:
            for token in (4, 5):
                expected = alone.step(np.array([token]))[0]
                np.testing.assert_array_equal(member.step(np.int64(token)), expected)
            assert member.snapshot() == alone.snapshot()
        again = pool.join(member.snapshot(), reprime=True)
        np.testing.assert_array_equal(again.step(np.int64(6)), member.step(np.int64(6)))


def test_a_member_with_a_source(pronounce: Model, other_decoder: Model) -> None:
    with pronounce.stream(SOURCES[:1], history=2) as stream:
        stream.feed(np.array([[1, 2]]))
        snapshot = stream.snapshot(inputs=True)
    with other_decoder.pool(1) as pool:
        member = pool.join(snapshot, source=np.array(SOURCES[0]), reprime=True)
        expected = other_decoder.resume(snapshot, reprime=True, source=SOURCES[:1])
        np.testing.assert_array_equal(member.step(np.int64(3)), expected.step(np.array([3]))[0])


def test_members_that_cannot_join(characters: Model, other: Model) -> None:
    with other.pool(1) as pool:
        with pytest.raises(StateError, match="a member is one row, but the snapshot has 3"):
            pool.join(taken(characters), reprime=True)
        with pytest.raises(StateError, match="keeps no inputs"):
            pool.join(characters.stream().snapshot(), reprime=True)
        with pytest.raises(InputError, match="nothing to re-prime from"):
            pool.join(reprime=True)
        assert pool.metrics().members == 0
        pool.join()
