"""Forecasting: one long series, frame by frame."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from treadle.data import Dataset, Series
from treadle.errors import DataError
from treadle_train.batching.series_lanes import SeriesBatch, SeriesLanes
from treadle_train.modules.forecasting import ForecasterModule
from treadle_train.networks.build import build_forecaster
from treadle_train.recipe import ForecasterRecipe
from treadle_train.tasks.task import Task


class Forecasting(Task):
    """Some channels of a series are read, and one of them is forecast; there is no vocabulary.

    Raises DataError for data that are no series, channels that they lack, and a split that is too
    short to learn from or to be judged on.
    """

    def __init__(self, recipe: ForecasterRecipe, dataset: Dataset[Any]) -> None:
        self.recipe = recipe
        self.vocabularies = {}
        ahead = max(recipe.network.horizons)
        self.training = self._frames(dataset, "train", ahead + recipe.batching.steps)
        limit = recipe.training.validation_limit or None
        least = recipe.network.season + ahead
        self.validation = self._frames(dataset, "validation", least)[:limit]
        if len(self.validation) < least:
            raise DataError(
                f"Validation takes at least {least} frames, a season and what is forecast, got "
                f"{len(self.validation)}; raise training.validation_limit."
            )

    def steps_per_epoch(self) -> int:
        """Frames a lane over frames a batch, rounded up."""
        return len(self._batches(0, 0))

    def new_module(self) -> ForecasterModule:
        """The recipe's forecaster with its loss; frames are normalized by the training split."""
        network = build_forecaster(self.recipe, {})
        network.normalization.measure(self.training)
        steps = self.steps_per_epoch() * self.recipe.training.epochs
        return ForecasterModule(network, self.recipe, steps)

    def train_batches(self, epoch: int, first: int) -> Iterable[SeriesBatch]:
        """The series in lanes, the state carried from batch to batch."""
        return self._batches(epoch, first)

    def validation_batches(self) -> list[Tensor]:
        """The whole series, as one row."""
        return [self.validation[None]]

    def _batches(self, epoch: int, first: int) -> SeriesLanes:
        batching = self.recipe.batching
        return SeriesLanes(
            frames=self.training,
            target=batching.channels.index(batching.target),
            ahead=max(self.recipe.network.horizons),
            batch_size=batching.batch_size,
            steps=batching.steps,
            seed=self.recipe.training.seed,
            epoch=epoch,
            first=first,
        )

    def _frames(self, dataset: Dataset[Any], split: str, least: int) -> Tensor:
        """The channels of a split that are read, float32 [N, C]."""
        series = dataset.split(split)
        if not isinstance(series, Series):
            raise DataError(
                f"Forecasting needs a series, but the {split} split of the data set "
                f"{dataset.name!r} is none; use the data set 'etth1', or 'files' with a series."
            )
        if len(series) < least:
            raise DataError(
                f"The {split} split of the data set {dataset.name!r} should have at least {least} "
                f"frames for these network.horizons, network.season and batching.steps, got "
                f"{len(series)}; make them smaller, or use a longer series."
            )
        return torch.from_numpy(series.of(self.recipe.batching.channels).copy())
