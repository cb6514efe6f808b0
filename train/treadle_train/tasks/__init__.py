"""What each task makes of a data set: vocabularies, a network, batches. One row a task."""

from collections.abc import Callable
from typing import Any

from treadle.data import Dataset
from treadle_train.recipe import Recipe
from treadle_train.tasks.classification import Classification
from treadle_train.tasks.forecasting import Forecasting
from treadle_train.tasks.generation import Generation
from treadle_train.tasks.language_modelling import LanguageModelling
from treadle_train.tasks.speech_transduction import SpeechTransduction
from treadle_train.tasks.tagging import Tagging
from treadle_train.tasks.task import Task
from treadle_train.tasks.transduction import Transduction

__all__ = [
    "TASKS",
    "Classification",
    "Forecasting",
    "Generation",
    "LanguageModelling",
    "SpeechTransduction",
    "Tagging",
    "Task",
    "Transduction",
    "open_task",
]

TASKS: dict[str, Callable[[Any, Dataset[Any]], Task]] = {
    "classification": Classification,
    "forecasting": Forecasting,
    "generation": Generation,
    "language-modelling": LanguageModelling,
    "speech-transduction": SpeechTransduction,
    "tagging": Tagging,
    "transduction": Transduction,
}


def open_task(recipe: Recipe, dataset: Dataset[Any]) -> Task:
    """The task of a recipe on an opened data set. Raises DataError when the two do not fit."""
    return TASKS[recipe.task](recipe, dataset)
