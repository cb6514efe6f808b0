"""The parity ladder at export: every stage against the one before it, over a real trace.

origin (see `origin.py`) -> ONNX sequence -> ONNX step -> lowered float32 -> quantized; the Python
stream is compared by `treadle.selfcheck`, on the written bundle.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import chain

import numpy as np

from treadle.errors import ParityError
from treadle.ladder import Rung, compare
from treadle.manifest import TASKS
from treadle_export.canonical import CanonicalModel
from treadle_export.engine import Arrays, Engine, repeated
from treadle_export.parity.joined import Joined, joined_rungs
from treadle_export.parity.origin import Carried, Floats, Origin, rung_of
from treadle_export.parity.trace import Trace, encode_feeds


@dataclass(frozen=True, slots=True)
class Climbed:
    """The rungs, and what the golden trace is made of."""

    rungs: tuple[Rung, ...]
    quantized: dict[str, Rung]  # by precision
    origin: Carried
    carried: dict[str, Carried]  # by precision, from the lowered step graph
    screened: dict[str, Rung] = field(default_factory=dict)  # by precision, of a screened head
    joined: dict[str, tuple[Rung, ...]] = field(default_factory=dict)  # of predictor and joiner
    said: Joined | None = None  # what the origin made of symbols, where it has these two

    def until(self, precision: str) -> tuple[Rung, ...]:
        """The rungs that lead to a precision."""
        last = [rungs[precision] for rungs in (self.quantized, self.screened) if precision in rungs]
        return (*self.rungs, *last, *self.joined.get(precision, ()))


def climb(
    origin: Origin, canonical: CanonicalModel, lowered: Mapping[str, CanonicalModel], trace: Trace
) -> Climbed:
    """Climbs from the origin to the last of `lowered` (precision -> graphs, float32 first).

    Raises:
        ParityError: a rung is over its tolerance; the message names it and the first such step.
    """
    reference = origin.reference(canonical, trace)
    rungs, choose = list(reference.rungs), TASKS[canonical.task].chooses
    sequence, final = _onnx_sequence(canonical, trace, reference.context, reference.initial)
    known = reference.steps
    expected, actual = (reference.outputs, sequence[known]), (reference.final, final)
    rungs.append(rung_of("onnx sequence", *expected, *actual, choose, reference.precision))
    step = carry(canonical, trace, reference.context, reference.initial)
    rungs.append(rung_of("onnx step", sequence, step.outputs, final, step.last, choose))
    carried: dict[str, Carried] = {}
    quantized: dict[str, Rung] = {}
    joined: dict[str, tuple[Rung, ...]] = {}
    for precision, model in lowered.items():
        context, start = started_by(model, trace, reference.initial)
        carried[precision] = carry(model, trace, context, start)
        if precision == "float32":
            now = carried[precision]
            states = (step.after, now.after)
            gated = all(node.op_type != "RNN" for node in canonical.graphs["step"].model.graph)
            rungs.append(
                rung_of("lowered", step.outputs, now.outputs, *states, choose, gated=gated)
            )
        else:
            base = carried["float32"]
            quantized[precision] = quantized_rung(model, precision, base, trace, reference.context)
        if reference.joined is not None:
            joined[precision] = joined_rungs(model, precision, reference.joined)
    rungs += joined.pop("float32", ())
    refuse_failed([*rungs, *quantized.values(), *chain(*joined.values())])
    return Climbed(
        tuple(rungs),
        quantized,
        reference.carried or step,
        carried,
        joined=joined,
        said=reference.joined,
    )


def refuse_failed(rungs: Iterable[Rung]) -> None:
    """Raises ParityError for the first rung that did not pass."""
    for rung in rungs:
        if not rung.passed:
            raise ParityError(
                f"expected the rung {rung.name!r} within {rung.tolerance:.3g}, got "
                f"{rung.max_abs:.3g} at most, {rung.flips} changed symbols in {rung.steps} steps, "
                f"first over at step {rung.first_step}; the bundle is not written"
            )


def _onnx_sequence(
    model: CanonicalModel, trace: Trace, context: Arrays, initial: Arrays
) -> tuple[Floats, dict[str, Floats]]:
    interface = model.graphs["sequence"].interface
    x, lengths = interface.inputs
    feeds: Arrays = {x.name: trace.inputs[None], lengths.name: np.array([len(trace.inputs)])}
    feeds |= context | {f"state.{name}": array for name, array in initial.items()}
    result = Engine(model.graphs["sequence"].model).run(feeds)
    outputs = flattened([result[tensor.name][0] for tensor in interface.outputs])
    return outputs, {name: result[f"next_state.{name}"] for name in initial}


def flattened(outputs: Iterable[Floats]) -> Floats:
    """Arrays [N, …] side by side as one, [N, V]."""
    rows = [output.reshape(len(output), -1) for output in outputs]
    return rows[0] if len(rows) == 1 else np.concatenate(rows, axis=1)


def carry(model: CanonicalModel, trace: Trace, context: Arrays, initial: Arrays) -> Carried:
    """The step graph over the whole trace, from `initial`."""
    interface, engine = model.graphs["step"].interface, Engine(model.graphs["step"].model)
    (x,) = interface.inputs
    outputs, states = [], [initial]
    for token in trace.inputs:
        feeds = context | {f"state.{name}": array for name, array in states[-1].items()}
        result = engine.run({x.name: token[None], **feeds})
        outputs.append(flattened([result[tensor.name] for tensor in interface.outputs])[0])
        states.append({name: result[f"next_state.{name}"] for name in initial})
    return Carried.of(outputs, states)


def started_by(model: CanonicalModel, trace: Trace, initial: Arrays) -> tuple[Arrays, Arrays]:
    """Context and first state as the model's own encoder gives them."""
    if "encode" not in model.graphs:
        return {}, initial
    encoded = Engine(model.graphs["encode"].model).run(encode_feeds(trace))
    start = {name: encoded.get(f"initial.{name}", array) for name, array in initial.items()}
    return {t.name: encoded[t.name] for t in model.graphs["step"].interface.context}, start


def quantized_rung(
    model: CanonicalModel, precision: str, base: Carried, trace: Trace, context: Arrays
) -> Rung:
    """Every step from the state that float32 had there: rounding is seen alone, not its echo."""
    interface, engine = model.graphs["step"].interface, Engine(model.graphs["step"].model)
    feeds = {interface.inputs[0].name: trace.inputs, **repeated(context, len(trace.inputs))}
    result = engine.run(feeds | {f"state.{name}": array for name, array in base.before.items()})
    outputs = flattened([result[tensor.name] for tensor in interface.outputs])
    return compare(
        "quantized",
        precision,
        states=[(base.after[name], result[f"next_state.{name}"]) for name in base.after],
        outputs=[(base.outputs, outputs)],
        choices=(base.choices, outputs.argmax(-1)) if TASKS[model.task].chooses else None,
        attends=bool(interface.context),
    )
