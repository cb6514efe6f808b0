"""A made-up series of two channels with a season of 6 frames, so that a training takes seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from treadle.data import Dataset, Series
from treadle_train.catalogue import load_recipe

if TYPE_CHECKING:
    from treadle_train.recipe import Recipe

SEASON = 6


def waves(count: int, seed: int = 0) -> Series:
    """A wave around a level that wanders, and noise that says when the wave is high."""
    draw, time = np.random.default_rng(seed), np.arange(count)
    wave = np.sin(2 * np.pi * time / SEASON)
    level = 20 + np.cumsum(draw.normal(size=count)) * 0.1
    values = np.stack([wave + draw.normal(size=count), 3 * wave + level], axis=1)
    return Series(values.astype(np.float32), ("noise", "level"))


def series_dataset(series: Series) -> Dataset[Any]:
    share = len(series) // 5
    return Dataset(
        name="waves",
        options={},
        licence="CC0-1.0",
        source="made up",
        digest="sha256:waves",
        splits={
            "train": series[: 3 * share],
            "validation": series[3 * share : 4 * share],
            "test": series[4 * share :],
        },
    )


def open_waves(*, seed: int = 0) -> Dataset[Any]:
    return series_dataset(waves(5500, seed))


def tiny_forecaster(*changes: str) -> Recipe:
    return load_recipe(
        "forecast-transformer",
        [
            "data.name=waves",
            "network.horizons=[3, 8]",
            f"network.season={SEASON}",
            "network.hidden_size=16",
            'batching.channels=["noise", "level"]',
            "batching.target=level",
            "batching.batch_size=8",
            "batching.steps=20",
            "training.epochs=2",
            "training.learning_rate=0.01",
            *changes,
        ],
    )
