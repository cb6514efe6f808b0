"""From a Treadle network to its canonical graphs.

Each entry point of the network (`step`, `sequence`, `encode`, a transducer's `predictor` and
`joiner`) is traced with `torch.export`, batch and time dynamic, and translated to ONNX; recurrent
layers cross as opaque ops (`recurrent.py`).
"""

import copy
from collections.abc import Mapping
from operator import attrgetter
from typing import Any

import onnx_ir as ir
import torch
from torch import Tensor, nn

from treadle.errors import UnsupportedGraph
from treadle.manifest import SOURCE_MULTIPLE, ContextTensor, Graph, StatePort
from treadle.manifest import Tensor as Port
from treadle_export.canonical import BOUND, IR_VERSION, CanonicalGraph, CanonicalModel
from treadle_export.capturing.recurrent import with_opaque_layers
from treadle_export.capturing.torch_export import exported, to_onnx
from treadle_export.passes.canonicalize import canonicalize
from treadle_export.passes.loop_over_time import loop_over_time
from treadle_export.passes.name_weights import NameWeights
from treadle_train.cells import Layer
from treadle_train.networks import Encoding, Network, RNNTransducer
from treadle_train.networks.attention import MASKED

# Sizes of the example from which a dynamic graph is traced: distinct, none of them 0 or 1, and a
# source too long to be taken for a feature axis of any size that a network has.
_BATCH, _TIME, _SOURCE = 3, 5, 1009


_READ = "x"
"""What a step or a sequence reads, among the example inputs; the port has the network's name."""


_METHODS = {"predictor": "predictor.step"}
"""The entry points that are not the network's method of the same name."""


class _EntryPoint(nn.Module):
    """Makes one method of a network, or of a part of it, the `forward` that is traced."""

    def __init__(self, network: nn.Module, method: str) -> None:
        super().__init__()
        self.network = network
        self.method = method

    def forward(self, inputs: dict[str, Any]) -> Any:
        named = dict(inputs)
        read = [named.pop(_READ)] if _READ in named else []
        return attrgetter(self.method)(self.network)(*read, **named)


def capture(network: Network) -> CanonicalModel:
    """Captures every graph that the network's task has.

    Args:
        network: a Treadle network; it is left as it was.

    Returns:
        the canonical model: float32 graphs with dynamic batch and time.

    Raises:
        UnsupportedGraph: torch cannot trace an entry point; the message names it and says why.
    """
    opaque = with_opaque_layers(copy.deepcopy(network).eval().cpu())
    parameters = {f"network.{n}": p.detach().numpy() for n, p in opaque.named_parameters()}
    context, initial = _encoded_example(network)
    graphs: dict[str, CanonicalGraph] = {}
    for name in network.graphs:
        part = _part(name, network)
        if name == "joiner":
            interface, inputs, dynamic = _joiner(network)
            graphs[name] = _captured(opaque, name, interface, inputs, dynamic, parameters)
            continue
        states = _state_ports(part)
        interface = _interface(name, part, states, context, initial)
        if network.looped and name == "sequence":
            graphs[name] = _looped(graphs["step"], interface)
            continue
        inputs, dynamic = _example(name, part, states, context)
        graphs[name] = _captured(opaque, name, interface, inputs, dynamic, parameters)
    return CanonicalModel(network.task, graphs, looped=network.looped)


def _part(name: str, network: Network) -> Network:
    """What a graph is the step, or the sequence, of."""
    if name == "predictor" and isinstance(network, RNNTransducer):
        return network.predictor
    return network


def _captured(
    network: nn.Module,
    name: str,
    interface: Graph,
    inputs: dict[str, Any],
    dynamic: dict[str, Any],
    parameters: Mapping[str, Any],
) -> CanonicalGraph:
    traced = _traced(network, name, interface, inputs, dynamic)
    NameWeights(parameters)(traced)
    return CanonicalGraph(traced, interface)


def _joiner(network: Network) -> tuple[Graph, dict[str, Any], dict[str, Any]]:
    """Interface, example inputs and dynamic axes of a transducer's joiner."""
    if not isinstance(network, RNNTransducer):
        raise UnsupportedGraph(f"expected a joiner, got a {type(network).__name__} without one")
    read = (network.answer, network.predictor.answer)
    logits = Port("logits", "float32", ("batch", network.joiner.output.out_features))
    interface = Graph(file="joiner.onnx", inputs=read, outputs=(logits,))
    inputs = {port.name: torch.zeros(_BATCH, int(port.shape[1])) for port in read}
    return interface, inputs, {port.name: {0: torch.export.Dim.AUTO} for port in read}


def _looped(step: CanonicalGraph, interface: Graph) -> CanonicalGraph:
    """The sequence graph of a network that is its step in a loop."""
    model = loop_over_time(step.model, step.interface, interface)
    return CanonicalGraph(_finished(model, "sequence", interface), interface)


def _bounds(network: nn.Module) -> dict[str, float]:
    """The magnitude that each hidden state cannot exceed, where its cell has such a bound."""
    return {
        f"{path.replace('.layers.', '.')}.hidden": layer.forward_cell.hidden_bound
        for path, layer in network.named_modules()
        if isinstance(layer, Layer) and layer.forward_cell.hidden_bound is not None
    }


def _state_ports(network: Network) -> tuple[StatePort, ...]:
    bounds = _bounds(network)
    return tuple(
        StatePort(
            name=name,
            input=f"state.{name}",
            output=f"next_state.{name}",
            dtype="float32",
            shape=("batch", tensor.shape[1]),
            initial="zeros",
            bound=bounds.get(name),
        )
        for name, tensor in network.initial_state(1).items()
    )


def _encoded_example(network: Network) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """What `encode` gives for an example: context and the states that a decoder starts from."""
    if not isinstance(network, Encoding):
        return {}, {}
    with torch.no_grad():
        return network.encode(*_example_source(network))


def _example_source(network: Encoding) -> tuple[Tensor, Tensor]:
    """What `encode` reads, [B, S, …], and its lengths."""
    features = [int(size) for size in network.source.shape[2:]]
    source = torch.zeros(_BATCH, _SOURCE, *features, dtype=getattr(torch, network.source.dtype))
    return source, torch.full((_BATCH,), _SOURCE)


def _shape(tensor: Tensor) -> tuple[int | str, ...]:
    """An encoder's output is batch first; a mask and sequences over the memory have it second."""
    shape: list[int | str] = ["batch", *tensor.shape[1:]]
    if tensor.ndim > 2 or tensor.shape[1] == _SOURCE:
        shape[1] = "memory"
    return tuple(shape)


def _interface(
    name: str,
    network: Network,
    states: tuple[StatePort, ...],
    context: Mapping[str, Tensor],
    initial: Mapping[str, Tensor],
) -> Graph:
    tensors = {key: Port(key, "float32", _shape(tensor)) for key, tensor in context.items()}
    if isinstance(network, Encoding) and name == "encode":
        starts = [Port(f"initial.{key}", "float32", _shape(t)) for key, t in initial.items()]
        return Graph(
            file="encode.onnx",
            inputs=(network.source, Port("source_lengths", "int64", ("batch",))),
            outputs=(*tensors.values(), *starts),
        )
    timed = name == "sequence"
    axes: tuple[str, ...] = ("batch", "time") if timed else ("batch",)
    lengths = (Port("lengths", "int64", ("batch",)),) if timed else ()
    read, answer = network.read, network.answer
    answered = axes if network.timed else ("batch",)
    return Graph(
        file=f"{name}.onnx",
        inputs=(Port(read.name, read.dtype, (*axes, *read.shape[1:])), *lengths),
        outputs=(Port(answer.name, answer.dtype, (*answered, *answer.shape[1:])),),
        context=tuple(_context_tensor(port) for port in tensors.values()),
        state=tuple(_started(port, initial) for port in states),
    )


def _context_tensor(port: Port) -> ContextTensor:
    padded = "memory" in port.shape
    return ContextTensor(
        name=port.name,
        dtype=port.dtype,
        shape=port.shape,
        pad_multiple=SOURCE_MULTIPLE if padded else None,
        pad_value=MASKED if port.name.endswith("_mask") else 0.0,
    )


def _started(port: StatePort, initial: Mapping[str, Tensor]) -> StatePort:
    if port.name not in initial:
        return port
    start = {"from": "encode", "output": f"initial.{port.name}"}
    return StatePort(port.name, port.input, port.output, port.dtype, port.shape, start, port.bound)


def _example(
    name: str, network: Network, states: tuple[StatePort, ...], context: Mapping[str, Tensor]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Example inputs of an entry point and, in the same structure, its dynamic axes."""
    batch, time = {0: torch.export.Dim.AUTO}, {0: torch.export.Dim.AUTO, 1: torch.export.Dim.AUTO}
    inputs: dict[str, Any]
    if isinstance(network, Encoding) and name == "encode":
        inputs = dict(zip(("source", "source_lengths"), _example_source(network), strict=True))
        return inputs, {"source": time, "source_lengths": batch}
    dtype = getattr(torch, network.read.dtype)
    features = [int(size) for size in network.read.shape[1:]]
    inputs = {_READ: torch.zeros(_BATCH, *features, dtype=dtype)}
    dynamic: dict[str, Any] = {_READ: batch}
    if name == "sequence":
        inputs = {
            _READ: torch.zeros(_BATCH, _TIME, *features, dtype=dtype),
            "lengths": torch.full((_BATCH,), _TIME),
        }
        dynamic = {_READ: time, "lengths": batch}
    inputs["state"] = {p.name: torch.zeros(_BATCH, int(p.shape[1])) for p in states}
    dynamic["state"] = {p.name: batch for p in states}
    if context:
        inputs["context"] = {key: torch.zeros_like(tensor) for key, tensor in context.items()}
        dynamic["context"] = {
            key: {
                axis: torch.export.Dim.AUTO
                for axis, size in enumerate(_shape(tensor))
                if isinstance(size, str)
            }
            for key, tensor in context.items()
        }
    return inputs, dynamic


def _traced(
    network: nn.Module,
    name: str,
    interface: Graph,
    inputs: dict[str, Any],
    dynamic: dict[str, Any],
) -> ir.Model:
    input_names = [p.name for p in interface.inputs] + [p.input for p in interface.state]
    input_names += [p.name for p in interface.context]
    output_names = [p.name for p in interface.outputs] + [p.output for p in interface.state]
    try:
        entry = _EntryPoint(network, _METHODS.get(name, name))
        program = exported(entry, (inputs,), {"inputs": dynamic})
        model = to_onnx(program, input_names, output_names)
    except (torch.onnx.errors.OnnxExporterError, RuntimeError, ValueError) as error:
        raise UnsupportedGraph(
            f"expected an entry point {name!r} that torch.export can trace, got: {error}; "
            f"keep Python control flow in it free of tensor values"
        ) from error
    return _finished(model, name, interface)


def _finished(model: ir.Model, name: str, interface: Graph) -> ir.Model:
    """Marks what is known of the ports and brings the graph to canonical form."""
    for given in model.graph.inputs:
        for port in interface.state:
            if given.name == port.input and port.bound is not None:
                given.meta[BOUND] = port.bound
    model.ir_version = IR_VERSION
    model.graph.name = name
    return canonicalize(model, interface)
