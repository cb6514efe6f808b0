"""A trained run that reads whole sequences, as `whole_export.py` exports it."""

from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from treadle.whole_check import ends_of
from treadle_export.capturing.network import capture
from treadle_export.exporting.material import description_of
from treadle_export.exporting.whole_export import STEPS, Whole
from treadle_export.judging.quality import quality
from treadle_export.parity.network_origin import equations_rung
from treadle_export.parity.trace import trace_of
from treadle_export.rounding.learned_blocks import learned_blocks
from treadle_train.run import Run

Floats = NDArray[np.float32]


def whole_of(run: Run, quality_limit: int | None = None) -> Whole:
    """A run whose network has no step, captured. Raises UnsupportedGraph."""
    trace = trace_of(run, STEPS)
    return Whole(
        canonical=capture(run.network),
        description=description_of(run),
        inputs=trace.inputs,
        answers=partial(_answered, run.network),
        rungs=(equations_rung(run.network, trace),),
        quality=partial(quality, limit=quality_limit),
        learned=learned_blocks(run),
    )


@torch.no_grad()
def _answered(network: Any, inputs: NDArray[Any]) -> Floats:
    """What the network makes of inputs [T, …] as one row [V] of its logits."""
    x = torch.from_numpy(inputs)[None]
    logits, _ = network.sequence(x, torch.tensor([len(inputs)]), network.initial_state(1))
    return ends_of([network.timed], [logits.numpy()])
