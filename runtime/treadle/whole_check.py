"""The proof on the device of a model that reads whole sequences.

The golden trace is one row of real input; its checkpoints are the ends of beginnings of it, each
read whole. Of an output with time the first and the last step are compared: a layer that reads
backwards ends at the first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from treadle.ladder import Rung, compare
from treadle.whole_reading import read_whole

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from treadle.golden import Golden
    from treadle.manifest import Manifest
    from treadle.model import Model

_LENGTHS = (24, 7, 16, 1, 7)


def ends_of(manifest_outputs: list[bool], outputs: list[NDArray[Any]]) -> NDArray[np.float32]:
    """What was read of one sequence as one row [V]; `manifest_outputs`: whether each has time."""
    parts = []
    for timed, output in zip(manifest_outputs, outputs, strict=True):
        parts += [output[0, 0], output[0, -1]] if timed else [output[0]]
    row: NDArray[np.float32] = np.concatenate([np.ravel(part) for part in parts])
    return row.astype(np.float32)


def timed_outputs(manifest: Manifest) -> list[bool]:
    """Whether each output has one value a step."""
    return ["time" in tensor.shape for tensor in manifest.graphs["sequence"].outputs]


def replayed(model: Model, golden: Golden) -> list[Rung]:
    """The rungs "stream", against the recorded answers, and "batch", a row alone and in company."""
    precision = model.manifest.precision
    timed = timed_outputs(model.manifest)

    def read(x: NDArray[Any]) -> list[NDArray[Any]]:
        made = read_whole(model, x)
        return list(made) if isinstance(made, tuple) else [made]

    rows = [ends_of(timed, read(golden.inputs[None, : end + 1])) for end in golden.checkpoints]
    answers = np.stack(rows)[:, golden.columns]
    stage = "torch" if precision == "float32" else "bundle"
    outputs = [(golden.outputs[stage], answers)]
    return [
        compare("stream", precision, outputs=outputs, source="replayed"),
        _company(model, golden, timed),
    ]


def _company(model: Model, golden: Golden, timed: list[bool]) -> Rung:
    """Rows of other lengths, and of the same, around each row."""
    lengths = np.minimum(_LENGTHS, len(golden.inputs))
    starts = np.linspace(0, len(golden.inputs) - lengths.max(), len(lengths)).astype(int)
    x = np.stack([golden.inputs[start : start + lengths.max()] for start in starts])
    together = read_whole(model, x, lengths)
    arrays = list(together) if isinstance(together, tuple) else [together]
    pairs = []
    for row, length in enumerate(lengths):
        alone = read_whole(model, x[row : row + 1, :length])
        for has_time, whole, own in zip(
            timed, arrays, list(alone) if isinstance(alone, tuple) else [alone], strict=True
        ):
            pairs.append((own[0], whole[row, :length]) if has_time else (own, whole[row : row + 1]))
    return compare("batch", model.manifest.precision, outputs=pairs, source="replayed")
