"""Records the golden trace of a bundle (the format is `treadle.golden`)."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from treadle.golden import Golden
from treadle.manifest import TASKS
from treadle_export.canonical import CanonicalModel
from treadle_export.engine import Arrays, Engine
from treadle_export.parity.ladder import flattened
from treadle_export.parity.origin import Carried
from treadle_export.parity.trace import Trace, encode_feeds

BUDGET = 12_288
"""Bytes for states and outputs; more than this must be less than 1 % of the bundle."""

_MOST_CHECKPOINTS, _MOST_COLUMNS, _FEWEST_STEPS = 16, 64, 32


def record(
    trace: Trace,
    origin: Carried,
    bundle: Carried,
    model: CanonicalModel,
    bundle_bytes: int,
) -> Golden:
    """The golden trace of a lowered model.

    Args:
        trace: the inputs.
        origin: what the origin made of them, carried.
        bundle: what the model's step graph made of them, carried.
        model: the lowered graphs; each checkpoint is stepped once from the origin's state.
        bundle_bytes: size of the bundle without the trace.
    """
    budget = max(BUDGET, bundle_bytes // 100)
    steps = _steps(trace.inputs, budget)
    columns = columns_of(origin.outputs.shape[1])
    checkpoints = _checkpoints(origin, columns, steps, budget)
    state = {name: array[checkpoints] for name, array in origin.before.items()}
    result = step_from(model, trace, state, trace.inputs[checkpoints])
    stepped = flattened([result[tensor.name] for tensor in model.graphs["step"].interface.outputs])
    choices = {"torch": origin.choices[:steps], "bundle": bundle.choices[:steps]}
    return Golden(
        source=trace.source,
        inputs=trace.inputs[:steps],
        choices=choices if TASKS[model.task].chooses else {},
        checkpoints=checkpoints,
        columns=columns,
        outputs={
            "torch": origin.outputs[checkpoints][:, columns],
            "bundle": stepped[:, columns],
        },
        state=state,
        next_state={name: result[f"next_state.{name}"] for name in state},
    )


def renewed(known: Golden, model: CanonicalModel, carried: Carried, bundle_bytes: int) -> Golden:
    """A trace recorded before: what the origin gave is kept, what the lowered model gives is new.

    Of its checkpoints as many are kept as the budget of the smaller bundle holds.
    """
    floats = 2 * sum(array[0].size for array in known.state.values()) + 2 * len(known.columns)
    most = max(2, max(BUDGET, bundle_bytes // 100) // (4 * floats))
    count = len(known.checkpoints)
    kept = np.unique(np.linspace(0, count - 1, min(most, count)).astype(np.int64))
    checkpoints = known.checkpoints[kept]
    state = {name: array[kept] for name, array in known.state.items()}
    trace = Trace(known.source, known.inputs)
    result = step_from(model, trace, state, known.inputs[checkpoints])
    outputs = flattened([result[tensor.name] for tensor in model.graphs["step"].interface.outputs])
    choices = {"torch": known.choices["torch"], "bundle": carried.choices} if known.choices else {}
    return replace(
        known,
        choices=choices,
        checkpoints=checkpoints,
        outputs={
            "torch": known.outputs["torch"][kept],
            "bundle": outputs[:, known.columns],
        },
        state=state,
        next_state={name: result[f"next_state.{name}"] for name in state},
    )


def columns_of(size: int) -> NDArray[np.int64]:
    """The output columns that are kept, int64 [C], of so many."""
    return np.unique(np.linspace(0, size - 1, min(size, _MOST_COLUMNS)).astype(np.int64))


def _steps(inputs: NDArray[Any], budget: int) -> int:
    """How many steps are recorded: all, unless what they read is too large."""
    return min(len(inputs), max(_FEWEST_STEPS, budget // int(inputs[0].nbytes)))


def _checkpoints(
    origin: Carried, columns: NDArray[np.int64], steps: int, budget: int
) -> NDArray[np.int64]:
    """Steps spread by ratio, first and last among them, as many as the budget holds."""
    floats = 2 * sum(array[0].size for array in origin.before.values()) + 2 * len(columns)
    count = int(np.clip(budget // (4 * floats), 2, _MOST_CHECKPOINTS))
    return np.unique(np.geomspace(1, steps, count).astype(np.int64) - 1)


def step_from(model: CanonicalModel, trace: Trace, state: Arrays, inputs: NDArray[Any]) -> Arrays:
    """One step of every checkpoint, alone as a device steps it, with the bundle's own encoder."""
    context: Arrays = {}
    if "encode" in model.graphs:
        encoded = Engine(model.graphs["encode"].model).run(encode_feeds(trace))
        names = [tensor.name for tensor in model.graphs["step"].interface.context]
        context = {name: encoded[name] for name in names}
    step = model.graphs["step"]
    engine, name = Engine(step.model), step.interface.inputs[0].name
    stepped = []
    for row in range(len(inputs)):
        own = {f"state.{state_name}": array[row : row + 1] for state_name, array in state.items()}
        stepped.append(engine.run({name: inputs[row : row + 1], **context, **own}))
    return {key: np.concatenate([result[key] for result in stepped]) for key in stepped[0]}
