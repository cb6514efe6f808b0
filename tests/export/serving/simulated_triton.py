"""What Triton's sequence batcher does with a model that keeps its states in Triton.

As its documentation has it ("Implicit State Management"): a request belongs to a sequence, one with
the flag START gets the initial states of the configuration, any other those that the last request
of its sequence left; END forgets them. Requests of different sequences are put into one call,
batch first; inputs and outputs are reshaped as the configuration says.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime
import pytest
from google.protobuf import text_format
from numpy.typing import NDArray

if TYPE_CHECKING:
    from types import ModuleType

Array = NDArray[np.generic]
TYPES = {"TYPE_FP32": np.float32, "TYPE_INT64": np.int64, "TYPE_BOOL": np.bool_}


def schema() -> ModuleType:
    """Triton's own schema; its package would import gRPC, which the schema does not need."""
    package = importlib.util.find_spec("tritonclient")
    if package is None or not package.submodule_search_locations:
        pytest.skip("Triton's schema is not installed: pip install tritonclient")
    file = Path(package.submodule_search_locations[0]) / "grpc/model_config_pb2.py"
    spec = importlib.util.spec_from_file_location("model_config_pb2", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@dataclass(frozen=True)
class Request:
    sequence: int
    inputs: dict[str, Array]  # without the batch
    start: bool = False
    end: bool = False


class SimulatedTriton:
    """One model of a repository."""

    def __init__(self, place: Path) -> None:
        self.module = schema()
        self.config = self.module.ModelConfig()
        text_format.Parse((place / "config.pbtxt").read_text(), self.config)
        assert self.config.name == place.name  # or Triton does not load it
        assert self.config.backend == "onnxruntime"
        options = onnxruntime.SessionOptions()
        threads = self.config.parameters["intra_op_thread_count"].string_value
        options.intra_op_num_threads = int(threads)
        file = place / "1/model.onnx"
        self.session = onnxruntime.InferenceSession(file, options)
        self.place = place
        self.kept: dict[int, dict[str, Array]] = {}
        self._check_ports()

    def _type(self, number: int) -> Any:
        return TYPES[self.module.DataType.Name(number)]

    def _check_ports(self) -> None:
        """Names and shapes of the model are those of the configuration."""
        batching = self.config.sequence_batching
        for ports, declared, states in (
            (self.session.get_inputs(), self.config.input, "input_name"),
            (self.session.get_outputs(), self.config.output, "output_name"),
        ):
            shapes = {one.name: list(one.dims) for one in declared}
            for one in declared:
                if one.HasField("reshape"):
                    shapes[one.name] = list(one.reshape.shape)
            shapes |= {getattr(state, states): list(state.dims) for state in batching.state}
            assert {port.name for port in ports} == set(shapes)
            for port in ports:
                assert len(port.shape) == 1 + len(shapes[port.name]), port.name
                assert isinstance(port.shape[0], str), port.name  # the batch may be any

    def _initial(self) -> dict[str, Array]:
        found: dict[str, Array] = {}
        for state in self.config.sequence_batching.state:
            (initial,) = state.initial_state
            dims, dtype = list(initial.dims), self._type(initial.data_type)
            found[state.input_name] = np.zeros(dims, dtype)
            if initial.data_file:
                content = (self.place / "initial_state" / initial.data_file).read_bytes()
                found[state.input_name] = np.frombuffer(content, dtype).reshape(dims)
        return found

    def infer(self, requests: list[Request]) -> list[dict[str, Array]]:
        """One call of the batcher."""
        assert 1 <= len(requests) <= self.config.max_batch_size
        assert len({request.sequence for request in requests}) == len(requests)
        for request in requests:
            if request.start:
                self.kept[request.sequence] = self._initial()
            elif request.sequence not in self.kept:
                raise LookupError("inference request must specify the START flag")
        feeds = {}
        for declared in self.config.input:
            rows = np.stack([request.inputs[declared.name] for request in requests])
            assert list(rows.shape[1:]) == list(declared.dims)
            assert rows.dtype == self._type(declared.data_type)
            feeds[declared.name] = self._reshaped(rows, declared)
        for state in self.config.sequence_batching.state:
            kept = [self.kept[request.sequence][state.input_name] for request in requests]
            feeds[state.input_name] = np.stack(kept)
        names = [port.name for port in self.session.get_outputs()]
        made = dict(zip(names, self.session.run(names, feeds), strict=True))
        for row, request in enumerate(requests):
            for state in self.config.sequence_batching.state:
                self.kept[request.sequence][state.input_name] = made[state.output_name][row]
            if request.end:
                del self.kept[request.sequence]
        return [
            {one.name: made[one.name][row].reshape(list(one.dims)) for one in self.config.output}
            for row in range(len(requests))
        ]

    def _reshaped(self, rows: Array, declared: Any) -> Array:
        if not declared.HasField("reshape"):
            return rows
        return rows.reshape([len(rows), *declared.reshape.shape])
