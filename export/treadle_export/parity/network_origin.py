"""A Treadle network as the origin of a bundle: its equations, unrolled, and step by step."""

import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor

from treadle.ladder import Rung, compare
from treadle_export.canonical import CanonicalModel
from treadle_export.engine import Arrays, Engine
from treadle_export.parity import equations
from treadle_export.parity.joined import joined_by
from treadle_export.parity.origin import Carried, Floats, Reference, rung_of
from treadle_export.parity.trace import Trace, encode_feeds
from treadle_train.cells import Layer
from treadle_train.networks import Encoding, Network


class NetworkOrigin:
    """The rungs equations -> torch unroll -> torch step, and torch's encoder against ONNX's."""

    def __init__(self, network: Network) -> None:
        self.network = network

    def reference(self, canonical: CanonicalModel, trace: Trace) -> Reference:
        """Runs the trace, one row, from the initial state."""
        rungs = [equations_rung(self.network, trace)]
        context, start = _encoded(self.network, trace)
        unrolled, final = _torch_sequence(self.network, trace, context, start)
        stepped = _torch_steps(self.network, trace, context, start)
        rungs.append(rung_of("torch step", unrolled, stepped.outputs, final, stepped.last))
        context_arrays: Arrays = {name: tensor.numpy() for name, tensor in context.items()}
        if "encode" in self.network.graphs:
            rungs.append(_encode_rung(canonical, trace, context_arrays, start))
        return Reference(
            rungs=tuple(rungs),
            initial={name: tensor.numpy() for name, tensor in start.items()},
            steps=np.arange(len(trace.inputs)),
            outputs=unrolled,
            context=context_arrays,
            final=final,
            carried=stepped,
            joined=joined_by(self.network, trace.symbols, unrolled),
        )


def _encode_rung(
    canonical: CanonicalModel, trace: Trace, context: Arrays, start: dict[str, Tensor]
) -> Rung:
    encoded = Engine(canonical.graphs["encode"].model).run(encode_feeds(trace))
    ports = canonical.graphs["step"].interface.state
    started = [port.name for port in ports if port.initial != "zeros"]
    pairs = [(context[name], encoded[name]) for name in context]
    pairs += [(start[name].numpy(), encoded[f"initial.{name}"]) for name in started]
    return compare("onnx encode", "float32", outputs=pairs)


@torch.no_grad()
def _encoded(network: Network, trace: Trace) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """What torch's encoder says of the trace's source, and the state that a decoder starts from."""
    start = network.initial_state(1)
    if not isinstance(network, Encoding):
        return {}, start
    feeds = {name: torch.from_numpy(array) for name, array in encode_feeds(trace).items()}
    context, initial = network.encode(**feeds)
    return context, start | initial


def _arguments(context: dict[str, Tensor]) -> tuple[Any, ...]:
    return (context,) if context else ()


@torch.no_grad()
def _torch_sequence(
    network: Any, trace: Trace, context: dict[str, Tensor], start: dict[str, Tensor]
) -> tuple[Floats, dict[str, Floats]]:
    tokens = torch.from_numpy(trace.inputs)[None]
    lengths = torch.tensor([tokens.shape[1]])
    outputs, final = network.sequence(tokens, lengths, start, *_arguments(context))
    return outputs[0].numpy(), {name: state.numpy() for name, state in final.items()}


@torch.no_grad()
def _torch_steps(
    network: Any, trace: Trace, context: dict[str, Tensor], start: dict[str, Tensor]
) -> Carried:
    outputs, states = [], [start]
    for token in torch.from_numpy(trace.inputs):
        logits, state = network.step(token[None], states[-1], *_arguments(context))
        outputs.append(logits[0].numpy())
        states.append(state)
    return Carried.of(outputs, [{n: t.numpy() for n, t in state.items()} for state in states])


def equations_rung(network: Network, trace: Trace) -> Rung:
    """Each recurrent layer against its equations, on the inputs that the trace gives it."""
    calls: list[tuple[Layer, Tensor, dict[str, Tensor], Tensor]] = []
    recorded = _with_noted_layers(network, calls)
    context, start = _unpadded(recorded, trace)
    _torch_sequence(recorded, trace, context, start)
    pairs = []
    for layer, x, state, outputs in calls:
        before = {name: tensor.double().numpy() for name, tensor in state.items()}
        pairs.append((equations.unroll(layer, x[0].double().numpy(), before), outputs[0].numpy()))
    return compare("equations", "float32", states=pairs)


@torch.no_grad()
def _unpadded(network: Network, trace: Trace) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """As `_encoded`, the source at its own length: equations know nothing of padding."""
    start = network.initial_state(1)
    if not isinstance(network, Encoding):
        return {}, start
    source = torch.from_numpy(trace.source)[None]
    context, initial = network.encode(source, torch.tensor([source.shape[1]]))
    return context, start | initial


def _with_noted_layers(network: Network, calls: list[Any]) -> Network:
    """A copy of the network whose layers note down what they read and what they gave."""
    recorded = copy.deepcopy(network)
    for layer in recorded.modules():
        if isinstance(layer, Layer):
            layer.unroll = _noting(layer, calls)  # type: ignore[method-assign]
    return recorded


def _noting(layer: Layer, calls: list[Any]) -> Any:
    unroll = layer.unroll

    def noted(x: Tensor, state: dict[str, Tensor], lengths: Tensor | None = None) -> Any:
        outputs, final = unroll(x, state, lengths)
        steps = x.shape[1] if lengths is None else int(lengths[0])
        if steps:  # equations know nothing of padding
            calls.append((layer, x[:, :steps], state, outputs[:, :steps]))
        return outputs, final

    return noted
