"""What quantizing costs a model without data: how far its outputs drift from float32's."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import treadle
from treadle.errors import QualityError
from treadle.golden import GOLDEN_FILE, Golden
from treadle.invariance import flat_rows

BUDGET = 0.25
"""Largest relative error that is accepted; a likelihood's budget says nothing of outputs."""


def relative_error(plain: Path, candidate: Path, precision: str, _budget: float) -> dict[str, Any]:
    """The distance of the outputs of two bundles over the recorded inputs, carried.

    Raises:
        QualityError: it is over `BUDGET`.
    """
    with treadle.load(candidate) as model:
        inputs = Golden.from_bytes(model.bundle.read(GOLDEN_FILE)).inputs
    expected, actual = carried_outputs(plain, inputs), carried_outputs(candidate, inputs)
    return judged_outputs(expected, actual, precision, "steps")


def judged_outputs(
    expected: NDArray[np.float32], actual: NDArray[np.float32], precision: str, what: str
) -> dict[str, Any]:
    """Evidence of the distance of outputs [N, V], where N counts `what`.

    Raises:
        QualityError: it is over `BUDGET`.
    """
    relative = distance(expected, actual)
    if relative > BUDGET:
        raise QualityError(
            f"expected {precision} outputs within {BUDGET:.0%} of float32's over {len(expected)} "
            f"{what}, got {relative:.1%}; export another precision"
        )
    return {"metric": "relative_error", what: len(expected), "relative": relative}


def carried_outputs(bundle: Path, inputs: NDArray[Any]) -> NDArray[np.float32]:
    """Outputs [N, V] of one stream over inputs [N, …]."""
    with treadle.load(bundle) as model, model.stream() as stream:
        return np.concatenate([flat_rows(stream.step(x[None])) for x in inputs])


def distance(expected: NDArray[np.float32], actual: NDArray[np.float32]) -> float:
    """The norm of the difference over that of what is expected."""
    difference = float(np.linalg.norm(actual - expected))
    return difference / max(float(np.linalg.norm(expected)), 1e-30)
