"""How far forecasts are off, horizon by horizon, as the literature on long series measures it.

Notation: N frames of a series, S steps ahead.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from treadle.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[Any]


@dataclass(frozen=True, slots=True)
class HorizonErrors:
    """Errors over all steps up to `horizon` ahead and over `origins` frames to forecast from.

    mse in variances and mae in deviations of the training split.
    """

    horizon: int
    mse: float
    mae: float
    origins: int


def horizon_errors(
    forecasts: Floats,
    values: Floats,
    horizons: Sequence[int],
    *,
    first: int,
    deviation: float,
) -> tuple[HorizonErrors, ...]:
    """The errors of forecasts [N, S] made after each frame of values [N], at each horizon up to S.

    A horizon h is judged on every frame from number `first` (of 0) on that h frames follow, over
    the steps 1 to h. Both are divided by `deviation`; that the mean of the training split is
    subtracted elsewhere changes no difference. Summed in float64. Raises InputError for a series
    without such a frame.
    """
    made = []
    for horizon in horizons:
        off = differences(forecasts, values, horizon, first=first) / deviation
        errors = (float(np.mean(off**2)), float(np.mean(np.abs(off))))
        made.append(HorizonErrors(horizon, *errors, origins=len(off)))
    return tuple(made)


def differences(
    forecasts: Floats, values: Floats, horizon: int, *, first: int
) -> NDArray[np.float64]:
    """Forecasts [N, S, …] less what came, float64 [origins, horizon, …]; see `horizon_errors`."""
    if len(values) <= first + horizon:
        raise InputError(
            f"expected a series of more than {first + horizon} frames, {first} to start with and "
            f"{horizon} to be forecast, got {len(values)}; judge a longer one"
        )
    came = np.lib.stride_tricks.sliding_window_view(values[first + 1 :], horizon)
    made = forecasts[first : first + len(came), :horizon].astype(np.float64)
    expected = came.astype(np.float64).reshape(*came.shape, *[1] * (made.ndim - 2))
    return made - expected


def mean_over(errors: Sequence[HorizonErrors], figure: Literal["mse", "mae"]) -> float:
    """The mean of a figure over horizons."""
    return float(np.mean([getattr(one, figure) for one in errors]))
