"""Open an onnxruntime session on the asked hardware, or say why not."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from treadle.errors import BundleError, DeviceError, InputError

if TYPE_CHECKING:
    import os
    from types import ModuleType

    from treadle.manifest import Graph, Shape

# Device -> the engine's name for it, and the extra that installs an engine that has it.
DEVICES = {
    "cpu": ("CPUExecutionProvider", "cpu"),
    "cuda": ("CUDAExecutionProvider", "gpu"),
}
_ERRORS = 3
_PYTHONS_OWN: tuple[type[Exception], ...] = (ValueError, IndexError, OverflowError, MemoryError)
_TYPES = {"float32": "tensor(float)", "int64": "tensor(int64)", "bool": "tensor(bool)"}


def load_engine() -> ModuleType:
    """The module onnxruntime. Raises DeviceError with the pip command when it is missing."""
    try:
        import onnxruntime
    except ImportError as error:
        raise DeviceError(
            f"running a model needs onnxruntime, which cannot be imported ({error}); "
            "pip install 'treadle[cpu]'"
        ) from error
    return onnxruntime  # type: ignore[no-any-return]


def engine_errors() -> tuple[type[Exception], ...]:
    """What onnxruntime raises: types of its own without a common base; releases add to them.

    UnicodeDecodeError comes from a damaged name in a graph.
    """
    from onnxruntime.capi import onnxruntime_pybind11_state as engine

    own = [kind for kind in vars(engine).values() if isinstance(kind, type)]
    return (
        RuntimeError,
        UnicodeDecodeError,
        *(kind for kind in own if issubclass(kind, Exception)),
    )


def check_engine(required: object) -> None:
    """Raise DeviceError when onnxruntime is older than `required`, a version such as "1.22"."""
    engine = load_engine()
    if isinstance(required, str) and _version(engine.__version__) < _version(required):
        raise DeviceError(
            f"this bundle needs onnxruntime {required} or later, got {engine.__version__}; "
            "pip install --upgrade onnxruntime"
        )


def open_session(path: str | os.PathLike[str], *, device: str = "cpu", threads: int = 1) -> Any:
    """An onnxruntime.InferenceSession for the ONNX file at `path`.

    `threads` compute within an operator; they do not spin, and operators run one after another.
    Raises InputError for an unknown device or no threads, DeviceError when the engine or the
    hardware is missing or something else would run, BundleError when the file cannot be loaded.
    """
    check_device(device, threads)
    engine = load_engine()
    provider, extra = DEVICES[device]
    available = engine.get_available_providers()
    if provider not in available:
        raise DeviceError(
            f"the device {device!r} needs {provider}, but this onnxruntime has "
            f"{', '.join(available)}; pip uninstall onnxruntime, "
            f"then pip install 'treadle[{extra}]'"
        )
    # Python's own are what some releases make of a damaged file in ORT format.
    refusals: tuple[type[Exception], ...] = (*engine_errors(), *_PYTHONS_OWN)
    try:
        session = engine.InferenceSession(
            str(path),
            _options(engine, threads),
            providers=[provider],
            # Its fallback would print to stdout, and run on something else than was asked for.
            enable_fallback=0,
        )
    except refusals as error:
        raise BundleError(
            f"onnxruntime {engine.__version__} cannot load {path}: {error}; "
            "update onnxruntime, or export the bundle again"
        ) from error
    # What is available need not be what runs: without its libraries CUDA gives way to the CPU.
    running = session.get_providers()
    if running[0] != provider:
        raise DeviceError(
            f"asked for {device!r}, but {running[0]} would run; install the driver and libraries "
            f'of {provider}, or ask for device="cpu"'
        )
    return session


def check_device(device: str, threads: int) -> None:
    """Raise InputError unless `device` is known and `threads` a positive integer."""
    if device not in DEVICES:
        raise InputError(f"device must be one of {', '.join(DEVICES)}, got {device!r}")
    if type(threads) is not int or threads < 1:
        raise InputError(f"threads must be an integer of at least 1, got {threads!r}")


def check_ports(session: Any, graph: Graph) -> None:
    """Raise BundleError unless the session has the inputs and outputs that `graph` declares.

    A size that the file leaves open may be fixed by the manifest, but not the other way round: a
    batch or time axis that was baked in runs with one size only.
    """
    inputs = {tensor.name: (tensor.dtype, tensor.shape) for tensor in graph.inputs}
    inputs |= {tensor.name: (tensor.dtype, tensor.shape) for tensor in graph.context}
    inputs |= {port.input: (port.dtype, port.shape) for port in graph.state}
    outputs = {tensor.name: (tensor.dtype, tensor.shape) for tensor in graph.outputs}
    outputs |= {port.output: (port.dtype, port.shape) for port in graph.state}
    optional: dict[str, tuple[str, Shape]] = {}
    if graph.active is not None:
        optional[graph.active] = ("bool", ("batch",))
    for what, declared, ports in (
        ("input", inputs, session.get_inputs),
        ("output", outputs, session.get_outputs),
        ("optional input", optional, session.get_overridable_initializers),
    ):
        try:
            found = {port.name: (port.type, port.shape) for port in ports()}
        except engine_errors() as error:
            raise BundleError(
                f"onnxruntime cannot name the {what}s of {graph.file}: {error}; "
                "export the bundle again"
            ) from error
        _compare(f"{graph.file} has the {what}", declared, found)


def _compare(
    what: str, declared: dict[str, tuple[str, Shape]], found: dict[str, tuple[str, list[Any]]]
) -> None:
    for name in sorted(found.keys() | declared.keys()):
        if name in found and name in declared and _fits(found[name], declared[name]):
            continue
        actual, expected = "nothing", "nothing"
        if name in found:
            actual = f"{found[name][0]} {found[name][1]}"
        if name in declared:
            expected = f"{_TYPES[declared[name][0]]} {list(declared[name][1])}"
        raise BundleError(
            f"{what} {name!r} as {actual}, but its manifest says {expected}; "
            "export the bundle again"
        )


def _fits(found: tuple[str, list[Any]], declared: tuple[str, Shape]) -> bool:
    if found[0] != _TYPES[declared[0]] or len(found[1]) != len(declared[1]):
        return False
    pairs = zip(found[1], declared[1], strict=True)
    return all(actual == size or not isinstance(actual, int) for actual, size in pairs)


def _options(engine: ModuleType, threads: int) -> Any:
    options = engine.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = engine.ExecutionMode.ORT_SEQUENTIAL
    # A spinning thread burns a core between two steps; the models are too small to gain by it.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    # Warnings would tell of every input that has a default value, as the active mask has.
    options.log_severity_level = _ERRORS
    return options


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", text)[:3])
