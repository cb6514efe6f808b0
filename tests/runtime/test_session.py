import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import onnxruntime
import pytest

from tests.runtime.tiny_bundles import write_language_model, write_transducer
from treadle.bundle import open_bundle
from treadle.engine import Engine
from treadle.errors import BundleError, DeviceError, InputError
from treadle.loading import load
from treadle.session import Hardware, check_engine, check_ports, open_session


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_language_model(tmp_path_factory.mktemp("bundle"))


def _pretend(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
    """Let treadle see an onnxruntime with other functions."""
    engine = SimpleNamespace(**{**vars(onnxruntime), **changes})
    monkeypatch.setitem(sys.modules, "onnxruntime", engine)


def test_one_thread_that_does_not_spin(bundle: Path) -> None:
    options = open_session(bundle / "step.onnx").get_session_options()
    assert options.intra_op_num_threads == 1
    assert options.inter_op_num_threads == 1
    assert options.execution_mode == onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"


def test_threads_as_asked(bundle: Path) -> None:
    options = open_session(bundle / "step.onnx", Hardware(threads=2)).get_session_options()
    assert options.intra_op_num_threads == 2
    for threads in (0, -1, 1.5, True, "2"):
        with pytest.raises(InputError, match="threads must be an integer of at least 1, got"):
            Hardware(threads=threads)  # type: ignore[arg-type]


@pytest.mark.parametrize("device", ["abacus", "", "cpu:1", "cuda:", "cuda:-1", "cuda:1 ", 1])
def test_an_unknown_device(device: Any) -> None:
    with pytest.raises(InputError, match="device must be one of cpu, cuda, or cuda:1"):
        Hardware(device=device)


def test_options_as_asked(bundle: Path) -> None:
    with load(bundle, spinning=True, arena=False) as model:
        options = model.session("step").get_session_options()
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "1"
    assert not options.enable_cpu_mem_arena
    for wrong in ({"spinning": 1}, {"arena": None}, {"denormals": 0}):
        with pytest.raises(InputError, match=f"{next(iter(wrong))} must be"):
            load(bundle, **wrong)


def test_the_second_gpu_is_asked_for_by_number(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def on_a_gpu(*_: Any, providers: list[Any], **__: Any) -> Any:
        asked.extend(providers)
        return SimpleNamespace(get_providers=lambda: ["CUDAExecutionProvider"])

    _pretend(
        monkeypatch,
        InferenceSession=on_a_gpu,
        get_available_providers=lambda: ["CUDAExecutionProvider"],
    )
    open_session(bundle / "step.onnx", Hardware("cuda:1"))
    open_session(bundle / "step.onnx", Hardware("cuda"))
    assert asked == [("CUDAExecutionProvider", {"device_id": 1}), "CUDAExecutionProvider"]


def test_a_device_that_this_engine_lacks(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _pretend(monkeypatch, get_available_providers=lambda: ["CPUExecutionProvider"])
    words = r"'cuda' needs CUDAExecutionProvider, .* has CPUExecutionProvider; .*treadle\[gpu\]"
    with pytest.raises(DeviceError, match=words):
        open_session(bundle / "step.onnx", Hardware(device="cuda"))


def test_another_provider_than_asked_is_no_silent_fallback(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def on_the_cpu(path: str, options: Any, **_: Any) -> Any:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    _pretend(
        monkeypatch,
        InferenceSession=on_the_cpu,
        get_available_providers=lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"],
    )
    with pytest.raises(DeviceError, match="asked for 'cuda', but CPUExecutionProvider would run"):
        open_session(bundle / "step.onnx", Hardware(device="cuda"))


def test_a_missing_engine_is_named_with_the_command(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(DeviceError, match=r"needs onnxruntime.*pip install 'treadle\[cpu\]'"):
        open_session(bundle / "step.onnx")


@pytest.mark.parametrize(
    ("installed", "required", "enough"),
    [
        ("1.22.0", "1.22", True),
        ("1.32.0", "1.4", True),
        ("1.9.1", "1.22", False),
        ("1.22.0", "1.22.1", False),
        ("1.33.0.dev20261101", "1.33", True),
        ("2.0", "1.22", True),
    ],
)
def test_the_engine_is_at_least_as_new_as_required(
    monkeypatch: pytest.MonkeyPatch, installed: str, required: str, enough: bool
) -> None:
    _pretend(monkeypatch, __version__=installed)
    if enough:
        check_engine(required)
    else:
        words = rf"needs onnxruntime {required} or later, got {installed}; pip install --upgrade"
        with pytest.raises(DeviceError, match=words):
            check_engine(required)


@pytest.mark.parametrize("content", [b"", b"not a graph", b"\x08\x0a\x12"])
def test_a_file_that_is_no_graph(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "step.onnx").write_bytes(content)
    with pytest.raises(BundleError, match=r"cannot load .*step\.onnx"):
        open_session(tmp_path / "step.onnx")


@pytest.mark.parametrize("error", [ValueError, IndexError, OverflowError, MemoryError])
def test_what_an_engine_raises_of_python_s_own(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    """Some releases do, for a damaged file in ORT format."""

    def refuse(*_: object, **__: object) -> None:
        raise error("Invalid tensor data type 0.")

    _pretend(monkeypatch, InferenceSession=refuse)
    with pytest.raises(BundleError, match=r"cannot load .*: Invalid tensor data type 0\."):
        open_session(bundle / "step.onnx")


def test_ports_as_declared(bundle: Path) -> None:
    for graph in open_bundle(bundle).manifest.graphs.values():
        check_ports(open_session(bundle / graph.file), graph)


def test_ports_of_another_graph(bundle: Path, tmp_path: Path) -> None:
    graphs = open_bundle(bundle).manifest.graphs
    with pytest.raises(BundleError, match=r"step\.onnx has the input 'lengths' as tensor"):
        check_ports(open_session(bundle / "sequence.onnx"), graphs["step"])
    other = open_bundle(write_transducer(tmp_path)).manifest
    with pytest.raises(BundleError, match=r"step\.onnx has the input 'keys' as nothing"):
        check_ports(open_session(bundle / "step.onnx"), other.graphs["step"])


def test_a_state_of_another_size_in_the_manifest(tmp_path: Path) -> None:
    features = write_language_model(tmp_path, features=5)
    wider = write_language_model(tmp_path / "wider", features=6)
    shutil.copy(wider / "step.onnx", features / "step.onnx")
    graph = open_bundle(wider).manifest.graphs["step"]
    check_ports(open_session(features / "step.onnx"), graph)
    narrow = write_language_model(tmp_path / "narrow", features=5)
    with pytest.raises(BundleError, match="'x'"):
        check_ports(open_session(narrow / "step.onnx"), graph)


@pytest.mark.parametrize("name", [b"token", b"logits"])
def test_a_name_that_is_no_text(
    bundle: Path, tmp_path: Path, name: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "step.onnx"
    path.write_bytes((bundle / "step.onnx").read_bytes().replace(name, b"\xff" + name[1:]))
    with pytest.raises(BundleError, match=r"step\.onnx"):
        check_ports(open_session(path), open_bundle(bundle).manifest.graphs["step"])
    # The engine's own wrapper would print here, into what `--json` writes.
    assert capsys.readouterr().out == ""


def test_what_really_runs_is_reported(bundle: Path) -> None:
    with load(bundle, threads=2, spinning=True, arena=False) as model:
        engine = model.engine()
    assert engine == Engine(
        onnxruntime.__version__,
        "CPUExecutionProvider",
        "cpu",
        0,
        2,
        spinning=True,
        arena=False,
        denormals=True,
    )
    assert str(engine).endswith("CPUExecutionProvider on cpu, 2 threads, spinning, no arena")
    with load(bundle) as model:
        assert str(model.engine()).endswith("on cpu, 1 thread, not spinning, an arena")


def test_what_runs_is_read_from_the_session_not_from_what_was_asked(bundle: Path) -> None:
    """Some sessions say where they run in their own words."""
    session = open_session(bundle / "step.onnx")
    on_a_gpu = SimpleNamespace(
        get_providers=lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"],
        get_provider_options=lambda: {"CUDAExecutionProvider": {"device_id": "1"}},
        get_session_options=session.get_session_options,
    )
    engine = Engine.of(on_a_gpu)
    assert (engine.provider, engine.kind, engine.number) == ("CUDAExecutionProvider", "cuda", 1)
    assert "CUDAExecutionProvider on cuda:1" in str(engine)
