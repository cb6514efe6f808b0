"""Real inputs of an adopted model, as its streams read them: to be proven and calibrated on.

They come from `--inputs FILE.npy`, or are the example that a factory gave, where that has enough
steps of its own.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from treadle.errors import InputError
from treadle_export.adoption.adopt import Adopted
from treadle_export.adoption.streams import Layout
from treadle_export.quantization.calibration_data import Batch, CalibrationData

FEWEST_STEPS = 32
"""Different steps that an example must have to stand for real inputs: fewer say nothing of what
correlates with what."""

_MOST_STEPS = 20_000  # further ones change the rounding no more
_ROWS = 64  # of one batch at most


def check_inputs(adopted: Adopted) -> None:
    """Raises InputError unless real inputs have the features that the model reads, all finite."""
    array, layout = adopted.foreign.inputs, adopted.layout
    if array is None:
        return
    axes = {layout.axes.batch: "batch", layout.axes.time: "time"}
    example = adopted.foreign.example[layout.input.name]
    expected = [axes.get(axis, size) for axis, size in enumerate(example.shape)]
    fits = all(
        size == wanted or isinstance(wanted, str)
        for size, wanted in zip(array.shape, expected, strict=True)
    )
    wanted = f"expected one batch of {layout.input.name!r}, {example.dtype} {expected},"
    if not fits:
        raise InputError(f"{wanted} got {list(array.shape)}; give inputs with these features")
    if layout.axes.time is not None and array.shape[layout.axes.time] < layout.frames:
        raise InputError(f"{wanted} of at least {layout.frames} steps, got {list(array.shape)}")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise InputError(f"{wanted} got values that are not finite; leave them out")


def _as_steps(array: NDArray[Any], layout: Layout) -> NDArray[Any]:
    """A batch as the model reads it -> [rows, steps, …], a step as the stream reads it.

    What does not fill the last step, of a model that takes several frames together, is left out.
    """
    if layout.axes.time is None:
        return np.moveaxis(array, layout.axes.batch or 0, 0)[None]
    rows = np.moveaxis(array, (layout.axes.batch or 0, layout.axes.time), (0, 1))
    if layout.frames == 1:
        return np.ascontiguousarray(rows)
    steps = rows.shape[1] // layout.frames
    whole = rows[:, : steps * layout.frames]
    return np.ascontiguousarray(whole.reshape(len(rows), steps, layout.frames, *rows.shape[2:]))


def calibration_of(adopted: Adopted) -> CalibrationData | None:
    """What 4-bit weights are rounded with: real inputs, states carried along their time.

    None where there are none: an example with fewer than `FEWEST_STEPS` different steps is none.
    """
    foreign, layout = adopted.foreign, adopted.layout
    if foreign.inputs is not None:
        source, rows = "inputs", _as_steps(foreign.inputs, layout)
    else:
        source, rows = "example", _as_steps(foreign.example[layout.input.name], layout)
        flat = rows.reshape(rows.shape[0] * rows.shape[1], -1)
        if not foreign.own_example or len(np.unique(flat, axis=0)) < FEWEST_STEPS:
            return None
    rows = rows[:, : max(1, _MOST_STEPS // len(rows))]
    batches = tuple(Batch(rows[first : first + _ROWS]) for first in range(0, len(rows), _ROWS))
    count = rows.shape[0] * rows.shape[1]
    return CalibrationData(batches, count, "steps", {"from": source})
