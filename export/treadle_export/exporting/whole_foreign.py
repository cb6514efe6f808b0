"""An adopted model that reads whole sequences, as `whole_export.py` exports it."""

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from treadle.whole_check import ends_of
from treadle_export.adoption.adopt import Adopted
from treadle_export.bundle import Description
from treadle_export.exporting.real_inputs import calibration_of
from treadle_export.exporting.whole_export import STEPS, Whole
from treadle_export.parity.foreign_origin import trace_of_foreign

if TYPE_CHECKING:
    from treadle_export.engine import Arrays


def whole_of_foreign(adopted: Adopted, description: Description) -> Whole:
    """An adopted model that reads backwards, with its own framework as the origin."""
    return Whole(
        canonical=adopted.canonical,
        description=description,
        inputs=trace_of_foreign(adopted, STEPS).inputs,
        answers=partial(_answered, adopted),
        origin="int8-tensorwise" if adopted.foreign.tensorwise else "float32",
        calibration=calibration_of(adopted),
    )


def _answered(adopted: Adopted, x: NDArray[Any]) -> NDArray[np.float32]:
    """What the model's own framework makes of x [T, …] as one row, [V]."""
    layout, foreign = adopted.layout, adopted.foreign
    batch, time = layout.axes.batch or 0, layout.axes.time or 0
    x = x.reshape(-1, *x.shape[2:]) if layout.frames > 1 else x
    feeds: Arrays = {layout.input.name: np.moveaxis(x[None], (0, 1), (batch, time)).copy()}
    if foreign.lengths is not None:
        feeds[foreign.lengths] = np.array([len(x)])
    made = foreign.run(feeds)
    outputs, timed = [], []
    for tensor in layout.outputs:
        axes = layout.inside[tensor.name]
        places = [axes.batch or 0] + ([] if axes.time is None else [axes.time])
        outputs.append(np.moveaxis(made[tensor.name], places, range(len(places))))
        timed.append(axes.time is not None)
    return ends_of(timed, outputs)
