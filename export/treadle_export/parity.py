"""The parity ladder at export: every stage against the one before it, over a real trace.

equations in numpy -> torch unroll -> torch step -> ONNX sequence -> ONNX step -> lowered float32
-> quantized; the Python stream is compared by `treadle.selfcheck`, on the written bundle.
"""

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from treadle.errors import ParityError
from treadle.ladder import Rung, compare
from treadle_export import equations
from treadle_export.canonical import CanonicalModel
from treadle_export.engine import Arrays, Engine, repeated
from treadle_export.trace import Trace
from treadle_train.cells import Layer
from treadle_train.networks import Network, Transducer

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Carried:
    """N steps of one row: outputs [N, V]; states before and after each step, name -> [N, H]."""

    outputs: Floats
    before: dict[str, Floats]
    after: dict[str, Floats]

    @property
    def choices(self) -> NDArray[np.int64]:
        """The arg-max of each step, [N]."""
        choices: NDArray[np.int64] = self.outputs.argmax(axis=-1)
        return choices


@dataclass(frozen=True, slots=True)
class Climbed:
    """The rungs, and what the golden trace is made of."""

    rungs: tuple[Rung, ...]
    quantized: dict[str, Rung]  # by precision
    torch: Carried
    carried: dict[str, Carried]  # by precision, from the lowered step graph

    def until(self, precision: str) -> tuple[Rung, ...]:
        """The rungs that lead to a precision."""
        last = self.quantized.get(precision)
        return self.rungs if last is None else (*self.rungs, last)


def climb(
    network: Network, canonical: CanonicalModel, lowered: Mapping[str, CanonicalModel], trace: Trace
) -> Climbed:
    """Climbs from the equations to the last of `lowered` (precision -> graphs, float32 first).

    Raises:
        ParityError: a rung is over its tolerance; the message names it and the first such step.
    """
    rungs = [_equations_rung(network, trace)]
    context, start = _encoded(network, trace)
    unrolled, final = _torch_sequence(network, trace, context, start)
    stepped = _torch_steps(network, trace, context, start)
    rungs.append(_rung("torch step", unrolled, stepped.outputs, final, _last(stepped)))

    feeds = _encode_feeds(trace)
    context_arrays: Arrays = {}
    if isinstance(network, Transducer):
        encoded = Engine(canonical.graphs["encode"].model).run(feeds)
        pairs = [(context[name].numpy(), encoded[name]) for name in context]
        pairs += [(start[n].numpy(), encoded[f"initial.{n}"]) for n in _started(canonical)]
        rungs.append(compare("onnx encode", "float32", outputs=pairs))
        context_arrays = {name: tensor.numpy() for name, tensor in context.items()}
    initial = {name: tensor.numpy() for name, tensor in start.items()}
    sequence, sequence_final = _onnx_sequence(canonical, trace, context_arrays, initial)
    rungs.append(_rung("onnx sequence", unrolled, sequence, final, sequence_final))
    step = carry(Engine(canonical.graphs["step"].model), trace, context_arrays, initial)
    rungs.append(_rung("onnx step", sequence, step.outputs, sequence_final, _last(step)))
    carried: dict[str, Carried] = {}
    quantized: dict[str, Rung] = {}
    for precision, model in lowered.items():
        engine = Engine(model.graphs["step"].model)
        own_context, own_start = started_by(model, trace, initial)
        carried[precision] = carry(engine, trace, own_context, own_start)
        if precision == "float32":
            now = carried[precision]
            rungs.append(_rung("lowered", step.outputs, now.outputs, step.after, now.after))
        else:
            base = carried["float32"]
            quantized[precision] = quantized_rung(engine, precision, base, trace, context_arrays)
    refuse_failed([*rungs, *quantized.values()])
    return Climbed(tuple(rungs), quantized, stepped, carried)


def refuse_failed(rungs: Iterable[Rung]) -> None:
    """Raises ParityError for the first rung that did not pass."""
    for rung in rungs:
        if not rung.passed:
            raise ParityError(
                f"expected the rung {rung.name!r} within {rung.tolerance:.3g}, got "
                f"{rung.max_abs:.3g} at most, {rung.flips} changed symbols in {rung.steps} steps, "
                f"first over at step {rung.first_step}; the bundle is not written"
            )


def _rung(
    name: str,
    expected: Floats,
    actual: Floats,
    expected_states: Mapping[str, Floats],
    actual_states: Mapping[str, Floats],
) -> Rung:
    """Outputs of every step, and states wherever both stages have them."""
    return compare(
        name,
        "float32",
        states=[(expected_states[state], actual_states[state]) for state in expected_states],
        outputs=[(expected, actual)],
        choices=(expected.argmax(-1), actual.argmax(-1)),
    )


def _last(carried: Carried) -> dict[str, Floats]:
    return {name: states[-1:] for name, states in carried.after.items()}


def _started(model: CanonicalModel) -> list[str]:
    """The states that begin with what the encoder says."""
    ports = model.graphs["step"].interface.state
    return [port.name for port in ports if port.initial != "zeros"]


def _encode_feeds(trace: Trace) -> Arrays:
    lengths = np.array([len(trace.source)], np.int64)
    return {"source": trace.padded_source, "source_lengths": lengths}


@torch.no_grad()
def _encoded(network: Network, trace: Trace) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """What torch's encoder says of the trace's source, and the state that a decoder starts from."""
    start = network.initial_state(1)
    if not isinstance(network, Transducer):
        return {}, start
    feeds = {name: torch.from_numpy(array) for name, array in _encode_feeds(trace).items()}
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
    carried = {n: np.stack([state[n][0].numpy() for state in states]) for n in start}
    return _carried(outputs, carried)


def _carried(outputs: list[Floats], states: dict[str, Floats]) -> Carried:
    return Carried(
        np.stack(outputs),
        {name: array[:-1] for name, array in states.items()},
        {name: array[1:] for name, array in states.items()},
    )


def _onnx_sequence(
    model: CanonicalModel, trace: Trace, context: Arrays, initial: Arrays
) -> tuple[Floats, dict[str, Floats]]:
    feeds: Arrays = {"token": trace.inputs[None], "lengths": np.array([len(trace.inputs)])}
    feeds |= context | {f"state.{name}": array for name, array in initial.items()}
    result = Engine(model.graphs["sequence"].model).run(feeds)
    return result["logits"][0], {name: result[f"next_state.{name}"] for name in initial}


def carry(engine: Engine, trace: Trace, context: Arrays, initial: Arrays) -> Carried:
    """A step graph over the whole trace, from `initial`."""
    outputs, states = [], [initial]
    for token in trace.inputs:
        feeds = context | {f"state.{name}": array for name, array in states[-1].items()}
        result = engine.run({"token": token[None], **feeds})
        outputs.append(result["logits"][0])
        states.append({name: result[f"next_state.{name}"] for name in initial})
    carried = {n: np.stack([state[n][0] for state in states]) for n in initial}
    return _carried(outputs, carried)


def started_by(model: CanonicalModel, trace: Trace, initial: Arrays) -> tuple[Arrays, Arrays]:
    """Context and first state as the model's own encoder gives them."""
    if "encode" not in model.graphs:
        return {}, initial
    encoded = Engine(model.graphs["encode"].model).run(_encode_feeds(trace))
    start = {name: encoded.get(f"initial.{name}", array) for name, array in initial.items()}
    return {t.name: encoded[t.name] for t in model.graphs["step"].interface.context}, start


def quantized_rung(
    engine: Engine, precision: str, base: Carried, trace: Trace, context: Arrays
) -> Rung:
    """Every step from the state that float32 had there: rounding is seen alone, not its echo."""
    rows = len(trace.inputs)
    feeds = {"token": trace.inputs, **repeated(context, rows)}
    result = engine.run(feeds | {f"state.{name}": array for name, array in base.before.items()})
    return compare(
        "quantized",
        precision,
        states=[(base.after[name], result[f"next_state.{name}"]) for name in base.after],
        outputs=[(base.outputs, result["logits"])],
        choices=(base.choices, result["logits"].argmax(-1)),
    )


def _equations_rung(network: Network, trace: Trace) -> Rung:
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
    if not isinstance(network, Transducer):
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
        calls.append((layer, x, state, outputs))
        return outputs, final

    return noted
