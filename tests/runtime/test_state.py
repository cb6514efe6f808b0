"""Snapshots: bytes and back, onward in any process, and what is refused."""

from __future__ import annotations

import copy
import io
import pickle
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.runtime.tiny_bundles import HIDDEN, write_language_model, write_transducer
from treadle.errors import StateError
from treadle.loading import load
from treadle.npz import from_npz, to_npz
from treadle.state import Snapshot

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from treadle.model import Model

SOURCES = [[1, 2, 3], [4] * 20]
HIDDEN_NAME, CELL_NAME = "recurrent.0.hidden", "recurrent.0.cell"


def taken(model: Model) -> Snapshot:
    stream = (
        model.stream(SOURCES) if "encode" in model.manifest.graphs else model.stream(batch_size=2)
    )
    stream.step(np.array([1, 4]))
    return stream.snapshot()


@pytest.fixture(params=["characters", "pronounce"])
def model(request: pytest.FixtureRequest) -> Model:
    found: Model = request.getfixturevalue(request.param)
    return found


def assert_equal(actual: Snapshot, expected: Snapshot) -> None:
    assert actual.digest == expected.digest
    assert np.array_equal(actual.steps, expected.steps)
    for part in ("state", "context"):
        found, wanted = getattr(actual, part), getattr(expected, part)
        assert found.keys() == wanted.keys()
        for name, array in wanted.items():
            assert found[name].dtype == array.dtype
            assert found[name].tobytes() == array.tobytes()
            assert found[name].shape == array.shape


def test_bytes_and_back(model: Model, tmp_path: Path) -> None:
    snapshot = taken(model)
    content = snapshot.to_bytes()
    assert_equal(Snapshot.from_bytes(content), snapshot)
    assert content == taken(model).to_bytes()
    snapshot.save(tmp_path / "here.snapshot")
    snapshot.save(tmp_path / "here.snapshot")
    assert_equal(Snapshot.load(tmp_path / "here.snapshot"), snapshot)
    assert [path.name for path in tmp_path.iterdir()] == ["here.snapshot"]
    # Plain numpy reads it, without pickle.
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        assert archive["steps"].tolist() == [1, 1]


@given(ids=st.lists(st.integers(0, 10), max_size=8), later=st.lists(st.integers(0, 10), max_size=8))
def test_onward_to_the_bit(characters: Model, ids: list[int], later: list[int]) -> None:
    stream = characters.stream()
    stream.unroll(np.array([ids], np.int64).reshape(1, -1))
    content = stream.snapshot().to_bytes()
    expected = [stream.step(np.array([token])) for token in later]
    with characters.resume(Snapshot.from_bytes(content)) as resumed:
        assert resumed.steps.tolist() == [len(ids)]
        for token, output in zip(later, expected, strict=True):
            assert resumed.step(np.array([token])).tobytes() == output.tobytes()
    stream.restore(Snapshot.from_bytes(content))
    for token, output in zip(later, expected, strict=True):
        assert stream.step(np.array([token])).tobytes() == output.tobytes()


def test_equal_are_those_of_equal_bits(model: Model) -> None:
    one = taken(model)
    turned = one.replace(state=dict(list(one.state.items())[::-1]))
    same = [one, Snapshot.from_bytes(one.to_bytes()), taken(model), turned]
    assert len(set(same)) == 1
    name, array = next(iter(one.state.items()))
    others = [
        one.replace(state={**one.state, name: np.nextafter(array, np.float32(9))}),
        one.replace(steps=one.steps + 1),
        one.replace(digest="another"),
    ]
    assert len({*same, *others}) == 4
    assert one != one.to_bytes()


def test_onward_with_another_source(pronounce: Model) -> None:
    snapshot = taken(pronounce)
    expected = pronounce.resume(snapshot)
    stream = pronounce.stream([[7], [8]])
    stream.restore(snapshot)
    for tokens in ([3, 4], [5, 6]):
        assert np.array_equal(stream.step(np.array(tokens)), expected.step(np.array(tokens)))
    stream.reset()
    started = pronounce.stream(SOURCES)
    assert np.array_equal(stream.step(np.array([1, 1])), started.step(np.array([1, 1])))


CONTINUE = """
import sys, numpy as np, treadle
bundle, snapshot = sys.argv[1:]
with treadle.load(bundle) as model:
    stream = model.resume(treadle.Snapshot.load(snapshot))
    print(stream.step(np.array([5, 6])).tobytes().hex(), stream.steps.tolist())
"""


def test_onward_in_another_process(model: Model, tmp_path: Path) -> None:
    snapshot = taken(model)
    snapshot.save(tmp_path / "snapshot")
    command = [sys.executable, "-c", CONTINUE, str(model.bundle.path), str(tmp_path / "snapshot")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    output = model.resume(snapshot).step(np.array([5, 6]))
    assert done.stdout.strip() == f"{output.tobytes().hex()} [2, 2]"
    assert done.stderr == ""


def test_made_of_plain_arrays(characters: Model) -> None:
    stream = characters.stream(batch_size=2)
    state = {name: np.full((2, HIDDEN), 0.25, np.float32) for name in (HIDDEN_NAME, CELL_NAME)}
    given = Snapshot(characters.manifest.digest, state, steps=np.array([7, 9]))
    state[HIDDEN_NAME][:] = 9
    stream.restore(given)
    assert (stream.state()[HIDDEN_NAME] == 0.25).all()
    assert stream.steps.tolist() == [7, 9]
    changed = given.replace(state={**given.state, CELL_NAME: state[HIDDEN_NAME]})
    stream.restore(changed)
    assert (stream.state()[CELL_NAME] == 9).all()


def test_a_restored_stream_does_not_write_into_its_snapshot(characters: Model) -> None:
    snapshot = taken(characters)
    before = snapshot.to_bytes()
    stream = characters.resume(snapshot)
    stream.step(np.array([1, 2]))
    stream.select([1, 1])
    stream.reset()
    assert snapshot.to_bytes() == before


def test_a_snapshot_cannot_be_changed(characters: Model) -> None:
    snapshot = taken(characters)
    with pytest.raises(TypeError, match="does not support item assignment"):
        snapshot.state[HIDDEN_NAME] = np.zeros((2, HIDDEN))  # type: ignore[index]
    with pytest.raises(AttributeError, match="cannot be changed, got digest"):
        snapshot.digest = ""
    for copied in (copy.deepcopy(snapshot), pickle.loads(pickle.dumps(snapshot))):
        assert_equal(copied, snapshot)


def _state(**changes: Any) -> Callable[[Snapshot], Snapshot]:
    return lambda s: s.replace(state={**s.state, **changes})


def _with(name: str, change: Callable[[Any], Any]) -> Callable[[Snapshot], Snapshot]:
    return lambda s: s.replace(state={**s.state, name: change(s.state[name])})


def _poisoned(array: Any) -> Any:
    changed = array.copy()
    changed[1, 3] = np.nan
    return changed


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda s: s.replace(digest="sha256:" + "0" * 64),
            "the snapshot is of a model with the digest sha256:0000",
        ),
        (_state(stranger=np.zeros((2, 1))), r"got .*stranger.* \('stranger' differs\)"),
        (
            lambda s: s.replace(state={HIDDEN_NAME: s.state[HIDDEN_NAME]}),
            r"should hold recurrent\.0\.cell, recurrent\.0\.hidden, got recurrent\.0\.hidden",
        ),
        (
            lambda s: s.replace(context={"keys": np.zeros((2, 1))}),
            "the context of the snapshot should hold nothing, got keys",
        ),
        (
            _with(CELL_NAME, lambda a: a.astype(np.float64)),
            r"'recurrent\.0\.cell' of the snapshot should be float32 \[batch, 16\], got float64",
        ),
        (_with(CELL_NAME, lambda a: a[:, :8]), r"\[batch, 16\], got float32 \[2, 8\]"),
        (_with(CELL_NAME, lambda a: a[:, None]), r"\[batch, 16\], got float32 \[2, 1, 16\]"),
        (_with(HIDDEN_NAME, _poisoned), "a value that is not finite in row 1; .*reset the row"),
        (
            lambda s: Snapshot(s.digest, {n: a[:1] for n, a in s.state.items()}, {}, s.steps[:1]),
            r"the snapshot has 1 rows, but this stream has 2; .*Model\.resume",
        ),
    ],
)
def test_snapshots_that_do_not_fit(
    characters: Model, change: Callable[[Snapshot], Snapshot], words: str
) -> None:
    stream = characters.stream(batch_size=2)
    stream.step(np.array([1, 2]))
    before = stream.snapshot()
    with pytest.raises(StateError, match=words):
        stream.restore(change(before))
    assert_equal(stream.snapshot(), before)


def test_contexts_that_do_not_fit(pronounce: Model) -> None:
    snapshot = taken(pronounce)

    def cut(names: set[str], columns: int) -> Snapshot:
        context = {n: a[:, :columns] if n in names else a for n, a in snapshot.context.items()}
        return snapshot.replace(context=context)

    memory = {"keys", "values", "memory_mask"}
    pronounce.resume(cut(memory, 16))
    with pytest.raises(StateError, match="'keys' of the snapshot has 5 columns, expected a mult"):
        pronounce.resume(cut(memory, 5))
    with pytest.raises(StateError, match="has 0 columns, expected a multiple of 16"):
        pronounce.resume(cut(memory, 0))
    with pytest.raises(
        StateError, match=r"'values' of the snapshot should be float32 \[batch, mem"
    ):
        pronounce.resume(cut({"values"}, 16))


def test_a_snapshot_of_another_model(characters: Model, tmp_path: Path) -> None:
    words = "the snapshot is of a model with the digest .*but this model, .*take a snapshot of"
    with (
        load(write_language_model(tmp_path, seed=1)) as other,
        load(write_transducer(tmp_path)) as third,
    ):
        for stranger in (other.stream().snapshot(), third.stream([[1]]).snapshot()):
            with pytest.raises(StateError, match=words):
                characters.stream().restore(stranger)
            with pytest.raises(StateError, match=words):
                characters.resume(stranger)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"steps": np.array([1.0])}, r"steps of a snapshot should be int64 \[batch\].*got float64"),
        ({"steps": np.array(1)}, r"got int64 \[\]"),
        ({"steps": np.zeros(0, np.int64)}, r"got int64 \[0\]"),
        ({"steps": np.array([-1])}, "not negative"),
        ({"state": {"a": np.zeros((2, 1))}}, r"'a' of a snapshot should have 1 rows, .*\[2, 1\]"),
        ({"context": {"a": np.array(1.0)}}, r"the context 'a' of a snapshot should have 1 rows"),
    ],
)
def test_arrays_that_make_no_snapshot(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(StateError, match=words):
        Snapshot(**{"digest": "", "state": {}, **arguments})


def test_truncated_bytes(characters: Model, tmp_path: Path) -> None:
    content = taken(characters).to_bytes()
    for size in range(0, len(content), 29):
        with pytest.raises(StateError, match=r"expected the bytes of a snapshot, got \d+ bytes"):
            Snapshot.from_bytes(content[:size])
    (tmp_path / "cut").write_bytes(content[:-30])
    with pytest.raises(StateError, match=r"in .*cut: expected the bytes of a snapshot"):
        Snapshot.load(tmp_path / "cut")
    with pytest.raises(StateError, match="cannot read the snapshot"):
        Snapshot.load(tmp_path / "missing")


@given(place=st.integers(0, 2**32), bit=st.integers(0, 7))
def test_a_damaged_bit_is_refused_or_harmless(characters: Model, place: int, bit: int) -> None:
    snapshot = taken(characters)
    content = bytearray(snapshot.to_bytes())
    content[place % len(content)] ^= 1 << bit
    try:
        found = Snapshot.from_bytes(bytes(content))
        characters.resume(found)
    except StateError:
        return
    assert_equal(found, snapshot)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": np.array("treadle-snapshot/3")}, "'treadle-snapshot/3', expected .*update tre"),
        ({"steps": None}, "that are none, or damaged .'steps'"),
        ({"steps": np.array(["a"])}, "steps of a snapshot should be int64"),
    ],
)
def test_bytes_of_something_else(characters: Model, change: dict[str, Any], words: str) -> None:
    arrays = {**from_npz(taken(characters).to_bytes()), **change}
    kept = {name: array for name, array in arrays.items() if array is not None}
    with pytest.raises(StateError, match=words):
        Snapshot.from_bytes(to_npz(kept))


def test_no_pickle_is_opened(characters: Model) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, format=np.array([print], object))
    with pytest.raises(StateError, match="Object arrays cannot be loaded"):
        Snapshot.from_bytes(buffer.getvalue())
