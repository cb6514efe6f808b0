"""Records the golden trace of a bundle (the format is `treadle.golden`)."""

import numpy as np
from numpy.typing import NDArray

from treadle.golden import Golden
from treadle_export.canonical import CanonicalModel
from treadle_export.engine import Arrays, Engine
from treadle_export.parity import Carried
from treadle_export.trace import Trace

BUDGET = 16_384
"""Bytes for states and outputs; more than this must be less than 1 % of the bundle."""

_MOST_CHECKPOINTS, _MOST_COLUMNS = 16, 64


def record(
    trace: Trace,
    torch: Carried,
    bundle: Carried,
    model: CanonicalModel,
    bundle_bytes: int,
) -> Golden:
    """The golden trace of a lowered model.

    Args:
        trace: the inputs.
        torch: what torch made of them, carried.
        bundle: what the model's step graph made of them, carried.
        model: the lowered graphs; each checkpoint is stepped once from torch's state.
        bundle_bytes: size of the bundle without the trace.
    """
    columns = _columns(torch.outputs.shape[1])
    checkpoints = _checkpoints(torch, columns, max(BUDGET, bundle_bytes // 100))
    state = {name: array[checkpoints] for name, array in torch.before.items()}
    result = step_from(model, trace, state, trace.inputs[checkpoints])
    return Golden(
        source=trace.source,
        inputs=trace.inputs,
        choices={"torch": torch.choices, "bundle": bundle.choices},
        checkpoints=checkpoints,
        columns=columns,
        outputs={
            "torch": torch.outputs[checkpoints][:, columns],
            "bundle": result["logits"][:, columns],
        },
        state=state,
        next_state={name: result[f"next_state.{name}"] for name in state},
    )


def _columns(size: int) -> NDArray[np.int64]:
    return np.unique(np.linspace(0, size - 1, min(size, _MOST_COLUMNS)).astype(np.int64))


def _checkpoints(torch: Carried, columns: NDArray[np.int64], budget: int) -> NDArray[np.int64]:
    """Steps spread by ratio, first and last among them, as many as the budget holds."""
    floats = 2 * sum(array.shape[1] for array in torch.before.values()) + 2 * len(columns)
    count = int(np.clip(budget // (4 * floats), 2, _MOST_CHECKPOINTS))
    return np.unique(np.geomspace(1, len(torch.outputs), count).astype(np.int64) - 1)


def step_from(
    model: CanonicalModel, trace: Trace, state: Arrays, tokens: NDArray[np.int64]
) -> Arrays:
    """One step of every checkpoint, alone as a device steps it, with the bundle's own encoder."""
    context: Arrays = {}
    if "encode" in model.graphs:
        lengths = np.array([len(trace.source)], np.int64)
        encoder = Engine(model.graphs["encode"].model)
        encoded = encoder.run({"source": trace.padded_source, "source_lengths": lengths})
        names = [tensor.name for tensor in model.graphs["step"].interface.context]
        context = {name: encoded[name] for name in names}
    engine = Engine(model.graphs["step"].model)
    stepped = []
    for row in range(len(tokens)):
        own = {f"state.{name}": array[row : row + 1] for name, array in state.items()}
        stepped.append(engine.run({"token": tokens[row : row + 1], **context, **own}))
    return {name: np.concatenate([result[name] for result in stepped]) for name in stepped[0]}
