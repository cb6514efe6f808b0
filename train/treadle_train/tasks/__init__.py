"""What each task makes of a data set: vocabularies, a network, batches."""

from typing import Any

from treadle.data import Dataset
from treadle_train.recipe import Recipe, TransducerRecipe
from treadle_train.tasks.language_modelling import LanguageModelling
from treadle_train.tasks.task import Task
from treadle_train.tasks.transduction import Transduction

__all__ = ["LanguageModelling", "Task", "Transduction", "open_task"]


def open_task(recipe: Recipe, dataset: Dataset[Any]) -> Task:
    """The task of a recipe on an opened data set. Raises DataError when the two do not fit."""
    if isinstance(recipe, TransducerRecipe):
        return Transduction(recipe, dataset)
    return LanguageModelling(recipe, dataset)
