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
_DEVICE = re.compile(r"cpu|cuda(:\d{1,3})?", re.ASCII)
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


class Hardware:
    """Where and how the engine computes. Raises InputError for values that it does not take.

    device: "cpu", "cuda", or "cuda:1" for the second GPU.
    threads: how many compute within an operator; operators run one after another.
    spinning: whether threads that have nothing to do wait at full speed. They answer sooner, and
        burn a core each between two steps.
    arena: whether the engine keeps the memory that it frees, for the next call.
    denormals: whether numbers below 1.2e-38 in magnitude are kept, or count as zero. They can only
        be flushed by the first model of a process, in the thread that opens it (`denormals.py`),
        where numpy flushes then, too, as does every later model. Kept by default: with states that
        are all denormal a step takes as long as ever (`benchmarks/denormals.py`, an AMD EPYC; other
        processors may differ).
    cuda_graph: whether a step is captured as a CUDA graph and replayed, for "cuda" alone: the
        processor then launches one thing a step in place of one a node. The buffers of a stream
        stay with the model until it closes, for the next stream of as many rows.
    """

    __slots__ = ("arena", "cuda_graph", "denormals", "device", "spinning", "threads")

    def __init__(
        self,
        device: str = "cpu",
        threads: int = 1,
        spinning: bool = False,
        arena: bool = True,
        denormals: bool = True,
        cuda_graph: bool = False,
    ) -> None:
        self.device, self.threads, self.spinning = device, threads, spinning
        self.arena, self.denormals, self.cuda_graph = arena, denormals, cuda_graph
        if not _DEVICE.fullmatch(str(self.device)):
            raise InputError(
                f"device must be one of {', '.join(DEVICES)}, or cuda:1 for the second GPU, got "
                f"{self.device!r}"
            )
        if type(self.threads) is not int or self.threads < 1:
            raise InputError(f"threads must be an integer of at least 1, got {self.threads!r}")
        for name in ("spinning", "arena", "denormals", "cuda_graph"):
            if type(getattr(self, name)) is not bool:
                raise InputError(f"{name} must be True or False, got {getattr(self, name)!r}")
        if self.cuda_graph and self.kind != "cuda":
            raise InputError(f"cuda_graph needs the device cuda, got {self.device!r}")

    @property
    def kind(self) -> str:
        """The device without its number."""
        return self.device.partition(":")[0]

    @property
    def number(self) -> int:
        """Which device of its kind, from 0."""
        return int(self.device.partition(":")[2] or 0)


THIS_PROCESSOR = Hardware()


def open_session(
    path: str | os.PathLike[str], hardware: Hardware = THIS_PROCESSOR, *, captured: bool = False
) -> Any:
    """An onnxruntime.InferenceSession for the ONNX file at `path`; captured: as a CUDA graph.

    Raises DeviceError when the engine or the hardware is missing or something else would run,
    BundleError when the file cannot be loaded.
    """
    engine, device = load_engine(), hardware.device
    provider, extra = DEVICES[hardware.kind]
    available = engine.get_available_providers()
    if provider not in available:
        raise DeviceError(
            f"the device {device!r} needs {provider}, but this onnxruntime has "
            f"{', '.join(available)}; pip uninstall onnxruntime, "
            f"then pip install 'treadle[{extra}]'"
        )
    chosen: dict[str, Any] = {"device_id": hardware.number} if hardware.number else {}
    if captured:
        chosen["enable_cuda_graph"] = "1"
    # Python's own are what some releases make of a damaged file in ORT format.
    refusals: tuple[type[Exception], ...] = (*engine_errors(), *_PYTHONS_OWN)
    try:
        session = engine.InferenceSession(
            str(path),
            session_options(engine, hardware),
            providers=[(provider, chosen) if chosen else provider],
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


def session_options(engine: ModuleType, hardware: Hardware) -> Any:
    """An onnxruntime.SessionOptions."""
    options = engine.SessionOptions()
    options.intra_op_num_threads = hardware.threads
    options.inter_op_num_threads = 1
    options.execution_mode = engine.ExecutionMode.ORT_SEQUENTIAL
    options.enable_cpu_mem_arena = hardware.arena
    spinning = "1" if hardware.spinning else "0"
    options.add_session_config_entry("session.intra_op.allow_spinning", spinning)
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    flush = "0" if hardware.denormals else "1"
    options.add_session_config_entry("session.set_denormal_as_zero", flush)
    # Warnings would tell of every input that has a default value, as the active mask has.
    options.log_severity_level = _ERRORS
    return options


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", text)[:3])
