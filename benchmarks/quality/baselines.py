"""Forecasts that nobody has to learn, to compare models with.

Notation: N frames of a series, S steps ahead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def repeat_last(values: NDArray[np.float32], steps: int) -> NDArray[np.float32]:
    """After each of values [N], that value for all steps to come, [N, S]."""
    return np.repeat(values[:, None], steps, axis=1)


def repeat_season(values: NDArray[np.float32], steps: int, season: int) -> NDArray[np.float32]:
    """After each of values [N], the `season` values up to it over and over, [N, S].

    The first season - 1 rows, which have no whole season behind them, are not numbers.
    """
    unknown = np.full(season - 1, np.nan, np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(
        np.concatenate([unknown, values]), season
    ).copy()
    windows[: season - 1] = np.nan
    return windows[:, np.arange(steps) % season]
