"""Models: what is opened, what a stream is made of, what is refused."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest

import treadle
from tests.runtime.tiny_bundles import (
    CHARACTERS,
    GRAPHEMES,
    PHONEMES,
    reseal,
    write_language_model,
    write_transducer,
)
from treadle import model as module
from treadle.errors import BundleError, DeviceError, InputError, StateError
from treadle.language_model import LanguageModel
from treadle.loading import CLASSES, load
from treadle.manifest import TASKS
from treadle.sequence import run_sequence
from treadle.transducer import Transducer

if TYPE_CHECKING:
    from treadle.model import Model
    from treadle.session import Hardware


def test_the_task_chooses_the_class(characters: Model, pronounce: Model) -> None:
    assert type(characters) is LanguageModel
    assert type(pronounce) is Transducer
    assert characters.vocabularies == {"symbols": CHARACTERS}
    assert pronounce.vocabularies == {"input": GRAPHEMES, "output": PHONEMES}
    assert CLASSES.keys() == TASKS.keys()
    assert treadle.load is load


def test_the_decoder_may_start_from_zeros(tmp_path: Path) -> None:
    with load(write_transducer(tmp_path, start_from_encode=False)) as model:
        stream = model.stream([[1, 2], [3]])
        assert set(stream.snapshot().context) == {"keys", "values", "memory_mask"}
        stream.step(np.array([1, 1]))
        stream.reset()
        assert not any(array.any() for array in stream.state().values())


@pytest.mark.parametrize(
    ("source", "lengths", "words"),
    [
        (None, None, r"tiny-pronounce reads a source: stream\(source\)"),
        ([], None, "source has no rows; leave out empty batches"),
        (np.zeros((0, 4), np.int64), None, "source has no rows"),
        ([[1], []], None, r"the length of row 1 should be in 1\.\.1, the source axis, got 0"),
        (np.zeros((2, 0), np.int64), None, "the length of row 0 should be in 1"),
        (np.zeros((2, 3), np.int64), [3, 4], r"the length of row 1 should be in 1\.\.3"),
        (np.zeros((2, 3), np.int64), [3], r"lengths should be int64 \[2\]"),
        (np.zeros(3, np.int64), None, r"source should be int64 \[batch, source\], got int64 \[3\]"),
        (np.zeros((1, 3), np.float32), None, r"got float32 \[1, 3\]; convert it"),
        ([[1, 2], [1.5]], None, r"source should be int64 \[1\], got float64 \[1\]"),
        ([1, 2], None, "source should be a list of rows, each a list of its own"),
        ([[1, 9]], None, r"source should hold ids in 0\.\.8, got 9 at \[0, 1\]"),
        (np.array([[1, -1]]), None, r"ids in 0\.\.8, got -1 at \[0, 1\]"),
        ([[1]], [1], "a list of rows has its lengths; leave source_lengths out"),
    ],
)
def test_sources_that_do_not_fit(pronounce: Model, source: Any, lengths: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        pronounce.stream(source, source_lengths=lengths)


def test_batch_sizes_that_do_not_fit(characters: Model, pronounce: Model) -> None:
    for size in (0, -1, 1.0, True):
        with pytest.raises(InputError, match="batch_size should be an integer of at least 1, got"):
            characters.stream(batch_size=size)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="the source has 1 rows, but batch_size is 2"):
        pronounce.stream([[1]], batch_size=2)
    assert pronounce.stream([[1], [2]], batch_size=2).batch_size == 2
    with pytest.raises(InputError, match="history should be an integer of at least 0, got -1"):
        characters.stream(history=-1)
    with pytest.raises(InputError, match="tiny-characters reads no source; call stream"):
        characters.stream([[1]])
    with pytest.raises(InputError, match="source_lengths need a source"):
        characters.stream(source_lengths=[1])


def test_options_that_do_not_exist(characters: Model) -> None:
    path = characters.bundle.path
    with pytest.raises(InputError, match=r"device must be one of cpu, cuda, .* got 'tpu'"):
        load(path, device="tpu")
    with pytest.raises(InputError, match="threads must be an integer of at least 1, got 0"):
        load(path, threads=0)
    with pytest.raises(InputError, match='unknown must be "error" or "symbol", got \'skip\''):
        load(path, unknown="skip")  # type: ignore[arg-type]


def test_after_close(tmp_path: Path) -> None:
    with load(write_language_model(tmp_path)) as model:
        stream = model.stream()
        fork, resumed = stream.fork(), model.resume(snapshot := stream.snapshot())
    for call in (model.stream, lambda: model.resume(snapshot), lambda: model.session("step")):
        with pytest.raises(StateError, match="the model tiny-characters is closed; load it again"):
            call()
    for each in (stream, fork, resumed):
        with pytest.raises(StateError, match="this stream is closed"):
            each.step(np.array([1]))
    model.close()


def test_closing_waits_for_a_call_that_is_running(
    characters: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside, go_on = threading.Event(), threading.Event()

    def slow(*arguments: Any) -> Any:
        inside.set()
        assert go_on.wait(30)
        return run_sequence(*arguments)

    monkeypatch.setattr("treadle.sequence.run_sequence", slow)
    x, found = np.array([[1, 2, 3]]), []
    with load(characters.bundle.path) as model:
        stream = model.stream()
        reading = threading.Thread(target=lambda: found.append(stream.unroll(x)))
        reading.start()
        assert inside.wait(30)
        closing = threading.Thread(target=model.close)
        closing.start()
        closing.join(0.05)
        assert closing.is_alive()
        go_on.set()
        reading.join()
        closing.join()
    assert np.array_equal(found[0], characters.stream().unroll(x))


def test_a_session_is_opened_once_however_many_ask(
    characters: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []

    step = characters.session("step")  # before the opening is replaced

    def open_session(path: str, hardware: Hardware, **_: Any) -> Any:
        opened.append((Path(path).name, hardware.device, hardware.threads))
        return step

    monkeypatch.setattr(module, "open_session", open_session)
    with load(characters.bundle.path, threads=2) as model:
        threads = [threading.Thread(target=model.session, args=("step",)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert opened == [("step.onnx", "cpu", 2)]


def test_a_graph_that_is_not_there(characters: Model) -> None:
    with pytest.raises(BundleError, match="has no graph 'encode'; it has step, sequence"):
        characters.session("encode")


def test_an_engine_that_is_too_old(tmp_path: Path) -> None:
    bundle = write_language_model(tmp_path)
    document = json.loads((bundle / "manifest.json").read_text())
    document["requires"]["onnxruntime"] = "99.1"
    reseal(bundle, document)
    with (
        load(bundle) as model,
        pytest.raises(DeviceError, match=r"needs onnxruntime 99\.1 or later.*pip install --upgr"),
    ):
        model.stream()


@pytest.mark.parametrize("axis", ["batch", "time"])
def test_an_axis_that_was_baked_in(tmp_path: Path, axis: str) -> None:
    bundle = write_language_model(tmp_path)
    document = json.loads((bundle / "manifest.json").read_text())
    name = "step" if axis == "batch" else "sequence"
    graph = onnx.load(bundle / f"{name}.onnx")
    graph.graph.input[0].type.tensor_type.shape.dim[0 if axis == "batch" else 1].dim_value = 3
    onnx.save(graph, bundle / f"{name}.onnx")
    reseal(bundle, document)
    with load(bundle) as model, pytest.raises(BundleError, match=r"has the input 'token' as .*3"):
        model.session(name)


def test_an_encoder_that_fails(pronounce: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    class Failing:
        def run(self, *_: Any) -> Any:
            raise RuntimeError("no memory")

    monkeypatch.setitem(pronounce._sessions, "encode", Failing())
    with pytest.raises(DeviceError, match="onnxruntime failed to encode the source: no memory"):
        pronounce.stream([[1]])


def test_the_optional_mask_keeps_rows_that_are_not_active(characters: Model) -> None:
    stream = characters.stream(batch_size=2)
    stream.step(np.array([1, 2]))
    before = stream.state()
    session, graph = characters.session("step"), characters.manifest.graphs["step"]
    feeds = {"token": np.array([3, 4]), "active": np.array([True, False])}
    feeds |= {port.input: before[port.name] for port in graph.state}
    after = session.run([port.output for port in graph.state], feeds)
    stream.step(np.array([3, 4]))
    for port, array in zip(graph.state, after, strict=True):
        assert np.array_equal(array[0], stream.state()[port.name][0])
        assert np.array_equal(array[1], before[port.name][1])
