"""The session that is opened ahead: the one that is used, and nothing that a bundle is not."""

from __future__ import annotations

import multiprocessing
import sys
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.runtime.tiny_bundles import write_language_model, write_whole_sequence
from treadle import opening
from treadle.bundle import open_bundle
from treadle.errors import BundleError, DeviceError, InputError
from treadle.loading import load
from treadle.opening import open_ahead
from treadle.packing import pack
from treadle.session import Hardware, open_session

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("onnxruntime")


@pytest.fixture
def sessions(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every session that is opened, with the thread that opens it."""
    made: list[Any] = []

    def watched(*given: Any, **named: Any) -> Any:
        made.append((threading.current_thread(), open_session(*given, **named)))
        return made[-1][1]

    monkeypatch.setattr(opening, "open_session", watched)
    return made


@pytest.mark.parametrize("packed", [False, True])
def test_the_session_of_the_step_is_the_one_that_was_opened_ahead(
    directory: Path, packed: bool, tmp_path: Path, sessions: list[Any]
) -> None:
    source = pack(directory, tmp_path / "x.zip") if packed else directory
    with load(source) as model:
        session = model.session("step")
        assert [made for _, made in sessions] == [session]
        assert sessions[0][0] is not threading.current_thread()
        model.session("sequence")
        assert model.session("step") is session
        assert len(sessions) == 2


def test_a_model_that_reads_backwards_opens_what_it_has(
    tmp_path: Path, sessions: list[Any]
) -> None:
    with load(write_whole_sequence(tmp_path)) as model:
        session = model.session("sequence")
        assert [made for _, made in sessions] == [session]


def test_a_file_that_is_not_that_of_the_bundle_ends_the_opening(
    tmp_path: Path, sessions: list[Any]
) -> None:
    bundle = write_language_model(tmp_path)
    manifest = open_bundle(bundle).manifest
    name = next(iter(manifest.files.keys() - {graph.file for graph in manifest.graphs.values()}))
    content = bytearray((bundle / name).read_bytes())
    content[7] ^= 1
    (bundle / name).write_bytes(content)
    before = threading.active_count()
    with pytest.raises(BundleError, match="damaged or changed"):
        load(bundle)
    assert threading.active_count() == before, "a thread still reads the bundle"


def test_a_graph_that_is_not_that_of_the_bundle_is_not_even_opened(
    tmp_path: Path, sessions: list[Any]
) -> None:
    bundle = write_language_model(tmp_path)
    content = (bundle / "step.onnx").read_bytes()
    (bundle / "step.onnx").write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(BundleError, match="damaged or changed"):
        load(bundle)
    assert not sessions


def test_what_fails_ahead_fails_again_where_it_is_asked_for(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise DeviceError("no such hardware")

    monkeypatch.setattr(opening, "open_session", refuse)
    with load(directory) as model:  # knows nothing of it yet
        for _ in range(2):
            with pytest.raises(DeviceError, match="no such hardware"):
                model.stream()
    monkeypatch.undo()
    with load(directory) as model:
        model.stream().step([1])


def test_a_model_that_is_closed_at_once_leaves_no_thread(directory: Path) -> None:
    before = threading.active_count()
    load(directory).close()
    assert threading.active_count() == before
    with pytest.raises(InputError, match="device must be one of"):
        load(directory, device="tpu")
    assert threading.active_count() == before


def test_who_flushes_denormals_opens_the_session_in_the_own_thread(directory: Path) -> None:
    assert open_ahead(open_bundle(directory), Hardware(denormals=False)) is None


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of a fork beside threads, which this is
def test_a_process_that_is_forked_meanwhile_opens_its_own(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = threading.Event()

    def slow(*given: Any, **named: Any) -> Any:
        if threading.current_thread() is not threading.main_thread():
            go.wait()
        return open_session(*given, **named)

    monkeypatch.setattr(opening, "open_session", slow)
    with load(directory) as model:
        context = multiprocessing.get_context("fork")
        receiver, sender = context.Pipe(duplex=False)

        def child() -> None:
            sender.send(model.stream().step([1]).tobytes())

        process = context.Process(target=child)
        process.start()
        assert receiver.poll(60), "the child waits for a thread that it does not have"
        there = receiver.recv()
        process.join()
        go.set()
        assert np.array_equal(np.frombuffer(there, np.float32), model.stream().step([1])[0])
