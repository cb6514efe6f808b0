"""The configuration of a step graph for NVIDIA Triton, which keeps the states.

A sequence of requests is a stream. Triton's sequence batcher puts requests of different sequences
into one call of the step (strategy `oldest`), and hands every row the state that its sequence had:
Triton calls that implicit state. A request that starts a sequence gets the initial states.

There is no `model_warmup`: its requests do not pass the sequence batcher, so that they have no
states, and a model whose warm-up fails is not loaded (`TritonModelInstance::WarmUp` in
src/backend_model_instance.cc of triton-inference-server/core).

Source: `model_config.proto` of triton-inference-server/common.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from treadle.errors import ExportError, UnsupportedGraph
from treadle.manifest import Graph, Manifest, Shape, StatePort, Tensor
from treadle_export.serving.text_format import Message, Name, text_format

INITIAL_FOLDER = "initial_state"
"""Where Triton looks for the data of initial states, in a model's directory."""

_TYPES = {"float32": Name("TYPE_FP32"), "int64": Name("TYPE_INT64"), "bool": Name("TYPE_BOOL")}
_DEVICES = {"cpu": Name("KIND_CPU"), "cuda": Name("KIND_GPU")}


@dataclass(frozen=True, slots=True)
class Serving:
    """How a model is served. Raises ExportError for what cannot be.

    rows: sequences in one call at most. sequences: how many are kept at once at most. idle: seconds
    after which a sequence that nobody asks of is forgotten. delay: microseconds that a request may
    wait for company. threads: of one call; instances: calls at once.
    """

    rows: int = 64
    sequences: int = 1024
    idle: float = 60.0
    delay: int = 100
    threads: int = 1
    instances: int = 1

    def __post_init__(self) -> None:
        for name in ("rows", "sequences", "threads", "instances"):
            if getattr(self, name) < 1:
                raise ExportError(f"expected {name} of at least 1, got {getattr(self, name)}")
        if not self.idle > 0 or self.delay < 0:
            raise ExportError(
                f"expected idle above 0 and delay of at least 0, got {self.idle} and {self.delay}"
            )


def check_servable(manifest: Manifest) -> Graph:
    """The step that Triton can serve.

    Raises:
        UnsupportedGraph: there is none, or it needs more than a request and states.
    """
    step = manifest.graphs.get("step")
    if step is None:
        raise UnsupportedGraph(
            f"expected a model with a step, got {manifest.name}, which reads whole sequences: "
            "Triton serves its sequence.onnx as it is, without states"
        )
    if "encode" in manifest.graphs:
        raise UnsupportedGraph(
            f"expected a step that reads nothing but its input and states, got {manifest.name}, "
            "whose step goes on from an encoder; serve its whole decode without states: "
            "treadle export --graph generate"
        )
    for port in step.state:
        if len(port.shape) < 2:
            raise UnsupportedGraph(
                f"expected states of at least one number a row, got {port.name} of {manifest.name} "
                f"with the shape {list(port.shape)}, which Triton cannot keep"
            )
    return step


def configuration(manifest: Manifest, name: str, serving: Serving, device: str = "cpu") -> str:
    """The content of config.pbtxt for the step of a bundle; `name` is the model's in Triton.

    Raises UnsupportedGraph as `check_servable` does.
    """
    step = check_servable(manifest)
    message: Message = {
        "name": name,
        "backend": "onnxruntime",
        "max_batch_size": serving.rows,
        "input": [_tensor(tensor) for tensor in step.inputs],
        "output": [_tensor(tensor) for tensor in step.outputs],
        "sequence_batching": {
            "max_sequence_idle_microseconds": round(serving.idle * 1e6),
            "oldest": {
                "max_candidate_sequences": serving.sequences,
                "max_queue_delay_microseconds": serving.delay,
            },
            "state": [_state(port) for port in step.state],
        },
        "instance_group": [{"count": serving.instances, "kind": _DEVICES[device]}],
        "parameters": [_parameter("intra_op_thread_count", serving.threads)],
    }
    return text_format(message)


def _tensor(tensor: Tensor) -> Message:
    """An input or output; Triton wants one size at least, which a reshape takes away again."""
    return {"name": tensor.name, **_typed(tensor.dtype, tensor.shape), **_reshaped(tensor.shape)}


def _typed(dtype: str, shape: Shape) -> Message:
    return {"data_type": _TYPES[dtype], "dims": _dims(shape) or [1]}


def _reshaped(shape: Shape) -> Message:
    return {} if len(shape) > 1 else {"reshape": {"shape": []}}


def _dims(shape: Shape) -> list[int]:
    """Without the batch; -1 for what may vary."""
    return [size if isinstance(size, int) else -1 for size in shape[1:]]


def _state(port: StatePort) -> Message:
    typed = _typed(port.dtype, port.shape)
    data: Message = {"zero_data": True}
    if isinstance(port.initial, dict):
        data = {"data_file": port.name}
    return {
        "input_name": port.input,
        "output_name": port.output,
        **typed,
        "initial_state": [{"name": port.name, **typed, **data}],
    }


def _parameter(key: str, value: object) -> Message:
    return {"key": key, "value": {"string_value": str(value)}}


def initial_data(ports: Sequence[StatePort], arrays: Mapping[str, np.ndarray]) -> dict[str, bytes]:
    """File name -> content of the initial states that are not zero: their numbers, row by row."""
    return {
        port.name: np.ascontiguousarray(arrays[port.name], port.dtype).tobytes()
        for port in ports
        if isinstance(port.initial, dict)
    }
