"""Streams whose state lies in a device's memory: the same bits as where it lies in the host's.

The device's memory is the processor's here, made and reached through the same calls.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.runtime.tiny_bundles import CHARACTERS, FEATURES, PHONEMES
from treadle.bound_step import BoundStep
from treadle.captured_step import CapturedStep
from treadle.device_step import DeviceStep
from treadle.errors import DeviceError, InputError
from treadle.loading import load

if TYPE_CHECKING:
    from collections.abc import Iterator

    from treadle.model import Model
    from treadle.stream import Stream

SOURCES = [[1, 2, 3], [4], list(range(1, 9)) * 2 + [1]]
ROWS = len(SOURCES)
HISTORY = 3
KINDS = ("step", "some", "feed", "unroll", "reset", "select", "rewind", "snapshot", "restore")


@pytest.fixture(scope="module", params=["bound anew", "captured"])
def on_device(characters: Model, request: pytest.FixtureRequest) -> Iterator[Model]:
    """The processor ignores the number of a graph, and makes an ordinary run of every replay."""
    with load(characters.bundle.path) as model:
        model.on_device, model.captured = True, request.param == "captured"
        yield model


@pytest.fixture(scope="module")
def pronounce_on_device(pronounce: Model) -> Iterator[Any]:
    with load(pronounce.bundle.path) as model:
        model.on_device = True
        yield model


def schedules(symbols: int) -> Any:
    """Calls of a stream of ROWS rows: what is called, and numbers to make its arguments of."""
    return st.lists(
        st.tuples(st.sampled_from((*KINDS, "fork")), st.integers(0, 2**32 - 1)), max_size=10
    ).map(lambda calls: [(kind, np.random.default_rng(seed), symbols) for kind, seed in calls])


def call(stream: Stream, snapshots: list[Any], kind: str, seed: Any, symbols: int) -> Any:
    """Make one call; what it gives, or the stream that goes on in its place."""
    rng = np.random.default_rng(seed)
    ids = rng.integers(0, symbols, (ROWS, 4))
    match kind:
        case "step":
            return stream.step(ids[:, 0])
        case "some":
            return stream.step(ids[:, 0], active=rng.integers(0, 2, ROWS) > 0)
        case "feed" | "unroll":
            return getattr(stream, kind)(ids, rng.integers(0, 5, ROWS))
        case "reset":
            return stream.reset(rng.permutation(ROWS)[: rng.integers(0, ROWS + 1)])
        case "select":
            return stream.select(rng.integers(0, ROWS, ROWS))
        case "rewind":
            back = int(rng.integers(0, HISTORY + 1))
            return stream.rewind(min(back, len(stream._history._moments)))
        case "snapshot":
            return snapshots.append(stream.snapshot())
        case "restore":
            return stream.restore(snapshots[rng.integers(len(snapshots))])
        case _:
            return stream.fork()


def assert_same_streams(expected: Stream, actual: Stream, calls: list[Any]) -> None:
    kind = CapturedStep if actual._model.captured else DeviceStep
    assert type(actual._bound) is kind
    assert type(expected._bound) is BoundStep
    streams, kept = [expected, actual], [[expected.snapshot()], [actual.snapshot()]]
    for kind, rng, symbols in calls:
        seed = int(rng.integers(2**32))
        given = []
        for place, snapshots in enumerate(kept):
            answer = call(streams[place], snapshots, kind, seed, symbols)
            if kind == "fork":
                streams[place], answer = answer, None
            given.append(answer)
        np.testing.assert_array_equal(given[1], given[0])
        assert streams[1].snapshot() == streams[0].snapshot()


@given(calls=schedules(len(CHARACTERS)))
def test_any_calls_give_the_same_bits(
    characters: Model, on_device: Model, calls: list[Any]
) -> None:
    assert_same_streams(
        characters.stream(batch_size=ROWS, history=HISTORY),
        on_device.stream(batch_size=ROWS, history=HISTORY),
        calls,
    )


@given(calls=schedules(len(PHONEMES)))
def test_any_calls_give_the_same_bits_with_a_context(
    pronounce: Model, pronounce_on_device: Model, calls: list[Any]
) -> None:
    assert_same_streams(
        pronounce.stream(SOURCES, history=HISTORY),
        pronounce_on_device.stream(SOURCES, history=HISTORY),
        calls,
    )


@given(calls=schedules(len(CHARACTERS)))
def test_a_graph_without_a_mask_gives_the_same_bits(
    characters: Model, on_device: Model, calls: list[Any]
) -> None:
    stream = on_device.stream(batch_size=ROWS, history=HISTORY)
    stream._graph = stream._graph._replace(active=None)
    stream._fill(stream.snapshot())
    assert_same_streams(characters.stream(batch_size=ROWS, history=HISTORY), stream, calls)


@given(stay=st.lists(st.booleans(), max_size=12))
def test_outputs_that_stay_are_those_that_come_down(
    characters: Model, on_device: Model, stay: list[bool]
) -> None:
    expected, actual = (
        model.stream(batch_size=ROWS, history=HISTORY) for model in (characters, on_device)
    )
    rng = np.random.default_rng(len(stay))
    for stays in stay:
        ids = rng.integers(0, len(CHARACTERS), ROWS)
        live = actual.step(ids[::-1], copy=False) if rng.integers(2) else None
        if live is not None:
            expected.step(ids[::-1])
            before = live.copy()
        given = actual.step_on_device(ids) if stays else actual.step(ids)
        if stays and live is not None:
            np.testing.assert_array_equal(live, before)  # nothing came down
        if stays:
            assert isinstance(given, onnxruntime.OrtValue)
            given = given.numpy()
        np.testing.assert_array_equal(given, expected.step(ids))
    assert actual.snapshot(inputs=True) == expected.snapshot(inputs=True)


def test_outputs_cannot_stay_where_there_is_no_device(characters: Model, features: Model) -> None:
    stream = characters.stream()
    before = stream.snapshot()
    with pytest.raises(DeviceError, match=r"copy=False.*device=.cuda."):
        stream.step_on_device(np.array([1]))
    with pytest.raises(InputError, match=r"on_nonfinite='hold' needs its outputs on the host"):
        features.stream(on_nonfinite="hold").step_on_device(np.ones((1, FEATURES), np.float32))
    assert stream.snapshot() == before


def test_a_bad_input_to_a_step_that_leaves_its_outputs(on_device: Model) -> None:
    stream = on_device.stream(batch_size=2)
    before = stream.snapshot()
    with pytest.raises(InputError, match=r"ids in 0\.\.10, got 11"):
        stream.step_on_device(np.array([0, len(CHARACTERS)]))
    with pytest.raises(InputError, match=r"\[2\]"):
        stream.step_on_device(np.array([0]))
    assert stream.snapshot() == before


class CopiesWhenBound:
    """A session whose inputs are copied when they are bound, as one on a GPU may do."""

    def __init__(self, session: Any) -> None:
        self._session = session
        call = session._sess.run_with_iobinding
        self._sess = SimpleNamespace(
            run_with_iobinding=lambda binding, options: call(binding.raw, options)
        )

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def io_binding(self) -> Any:
        binding = self._session.io_binding()
        raw, copies = binding._iobinding, {}

        def bind(name: str, value: Any) -> None:
            copies[name] = onnxruntime.OrtValue.ortvalue_from_numpy(np.array(value.numpy()))
            raw.bind_ortvalue_input(name, copies[name]._ortvalue)

        return SimpleNamespace(
            _iobinding=SimpleNamespace(bind_ortvalue_input=bind, raw=raw),
            bind_ortvalue_input=binding.bind_ortvalue_input,
            bind_ortvalue_output=binding.bind_ortvalue_output,
        )


def test_inputs_that_are_copied_when_bound_are_not_stale(
    pronounce: Model, pronounce_on_device: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = CopiesWhenBound(pronounce_on_device.session("step"))
    monkeypatch.setitem(pronounce_on_device._sessions, "step", session)
    streams = [model.stream(SOURCES) for model in (pronounce, pronounce_on_device)]
    for ids in ([1, 2, 3], [4, 5, 6], [7, 7, 1]):
        expected, actual = (stream.step(np.array(ids)) for stream in streams)
        np.testing.assert_array_equal(actual, expected)
        for stream in streams:
            stream.select([2, 0, 0])
    assert streams[1].snapshot() == streams[0].snapshot()


@given(data=st.data())
def test_a_pool_on_a_device(pronounce: Model, pronounce_on_device: Model, data: Any) -> None:
    turns = st.lists(st.dictionaries(st.integers(0, ROWS - 1), st.integers(0, 6), min_size=1))
    schedule = data.draw(turns)
    pools = [model.pool(ROWS) for model in (pronounce, pronounce_on_device)]
    members = [[pool.join(source=source) for source in SOURCES] for pool in pools]
    for reads in schedule:
        expected, actual = (
            pool.step({mine[row]: np.int64(symbol) for row, symbol in reads.items()})
            for pool, mine in zip(pools, members, strict=True)
        )
        for row in reads:
            np.testing.assert_array_equal(actual[members[1][row]], expected[members[0][row]])
    for pool in pools:
        pool.close()


def test_a_bad_input_leaves_the_state_of_a_device_as_it_was(features: Model) -> None:
    with load(features.bundle.path) as model:
        model.on_device = True
        stream = model.stream()
        stream.step(np.ones((1, FEATURES), np.float32))
        before = stream.snapshot()
        with pytest.raises(InputError, match="finite"):
            stream.step(np.full((1, FEATURES), np.nan, np.float32))
        assert stream.snapshot() == before


def test_a_failing_call_leaves_the_state_of_a_device_as_it_was(on_device: Model) -> None:
    stream, twin = (on_device.stream(batch_size=2) for _ in range(2))
    for each in (stream, twin):
        each.step(np.array([1, 2]))
    before = stream.snapshot()

    def fail(_: Any) -> None:
        raise RuntimeError("out of memory")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stream._bound, "step", fail)
        with pytest.raises(DeviceError, match=r"out of memory.* as it was"):
            stream.step(np.array([3, 4]), active=[True, False])
    assert stream.snapshot() == before
    # The mask of the call that failed is gone, too.
    np.testing.assert_array_equal(stream.step(np.array([5, 6])), twin.step(np.array([5, 6])))


@pytest.fixture
def capturing(characters: Model) -> Iterator[Model]:
    with load(characters.bundle.path) as model:
        model.on_device = model.captured = True
        yield model


def graphs_of(stream: Stream) -> set[str]:
    """The numbers by which the engine knows the graphs of a stream again."""
    assert isinstance(stream._bound, CapturedStep)
    return {turn[2][1].get_run_config_entry("gpu_graph_id") for turn in stream._bound._turns}


def test_streams_that_are_open_share_no_graph(capturing: Model) -> None:
    streams = [capturing.stream(batch_size=rows) for rows in (1, 2, 1)]
    numbers = [number for stream in streams for number in graphs_of(stream)]
    assert len(set(numbers)) == len(numbers) == 6
    assert "-1" not in numbers  # the engine's word for no graph


def test_a_stream_that_is_gone_leaves_its_graphs_to_the_next(
    characters: Model, capturing: Model
) -> None:
    known: set[str] = set()
    for length in range(1, 6):
        expected, actual = (model.stream(batch_size=2) for model in (characters, capturing))
        known |= graphs_of(actual)
        for ids in np.random.default_rng(length).integers(0, len(CHARACTERS), (length, 2)):
            np.testing.assert_array_equal(actual.step(ids), expected.step(ids))
        assert actual.snapshot() == expected.snapshot()
        actual.close()
    assert len(known) == 2
    assert len(graphs_of(capturing.stream(batch_size=3)) | known) == 4


def test_threads_replay_one_after_another(characters: Model, capturing: Model) -> None:
    session = capturing.session("step")
    inside, most = 0, 0

    class Counting:
        def __init__(self) -> None:
            self._sess = self

        def __getattr__(self, name: str) -> Any:
            return getattr(session, name)

        def run_with_iobinding(self, binding: Any, options: Any) -> None:
            nonlocal inside, most
            inside += 1
            most = max(most, inside)
            time.sleep(1e-4)
            session._sess.run_with_iobinding(binding, options)
            inside -= 1

    capturing._sessions["step"] = Counting()
    ids = np.random.default_rng(0).integers(0, len(CHARACTERS), (30, 1))

    def carried(model: Model) -> Any:
        stream = model.stream()
        return [stream.step(one) for one in ids]

    with ThreadPoolExecutor(4) as threads:
        made = list(threads.map(carried, [capturing] * 4))
    for each in made:
        np.testing.assert_array_equal(each, carried(characters))
    assert most == 1


def test_only_a_gpu_and_a_step_without_context_can_be_captured(
    characters: Model, pronounce: Model
) -> None:
    with pytest.raises(InputError, match="cuda_graph needs the device cuda, got 'cpu'"):
        load(characters.bundle.path, cuda_graph=True)
    with pytest.raises(InputError, match="reads in its steps what it encoded"):
        load(pronounce.bundle.path, device="cuda", cuda_graph=True)


def test_only_the_step_is_opened_to_be_captured(
    characters: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    class Session:
        def __init__(self, path: str, *_: Any, providers: list[Any], **__: Any) -> None:
            asked.append((Path(path).name, providers))

        def get_providers(self) -> list[str]:
            return ["CUDAExecutionProvider"]

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: Session.get_providers(None))  # type: ignore[arg-type]
    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    monkeypatch.setattr("treadle.model.check_ports", lambda *_: None)
    with load(characters.bundle.path, device="cuda:1", cuda_graph=True) as model:
        model.session("step")
        model.session("sequence")
    provider = "CUDAExecutionProvider"
    assert asked == [
        ("step.onnx", [(provider, {"device_id": 1, "enable_cuda_graph": "1"})]),
        ("sequence.onnx", [(provider, {"device_id": 1})]),
    ]


def test_only_what_is_not_the_processor_keeps_states_to_itself(characters: Model) -> None:
    assert not characters.on_device
    with load(characters.bundle.path, device="cuda") as model:
        assert model.on_device


@pytest.mark.skipif(
    "CUDAExecutionProvider" not in onnxruntime.get_available_providers(),
    reason="needs an onnxruntime with CUDAExecutionProvider, and a GPU",
)
@pytest.mark.parametrize("captured", [False, True])
def test_a_gpu_gives_what_the_processor_does(characters: Model, captured: bool) -> None:
    with load(characters.bundle.path, device="cuda", cuda_graph=captured) as model:
        assert model.engine().provider == "CUDAExecutionProvider"
        streams = characters.stream(batch_size=ROWS), model.stream(batch_size=ROWS)
        rng = np.random.default_rng(0)
        for _ in range(50):
            x, active = rng.integers(0, len(CHARACTERS), ROWS), rng.integers(0, 2, ROWS) > 0
            expected, actual = (stream.step(x, active=active) for stream in streams)
            np.testing.assert_allclose(actual, expected, atol=1e-4)
        for name, array in streams[0].state().items():
            np.testing.assert_allclose(streams[1].state()[name], array, atol=1e-4)
