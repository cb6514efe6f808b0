"""What tests of a training in several processes share: every task, tiny, in each of them."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from tests.train.labelled import labelled_dataset, sentences, tiny_classifier
from tests.train.resuming import characters, without_curves
from tests.train.series import series_dataset, tiny_forecaster, waves
from tests.train.tagged import tagged_dataset, tagged_sentences, tiny_tagger
from tests.train.tiny import tiny_transducer, tiny_words
from treadle.data import open_dataset
from treadle_train import training
from treadle_train.catalogue import load_recipe
from treadle_train.fine_tuning import FineTuning
from treadle_train.modules.base import TaskModule
from treadle_train.processes.group import joined
from treadle_train.training import train

if TYPE_CHECKING:
    from collections.abc import Iterator

    from treadle.data import Dataset
    from treadle_train.recipe import Recipe

COMMON = [
    "training.epochs=2",
    "training.threads=1",
    "training.learning_rate=0.01",
    "training.schedule=constant",
    "training.warmup=0",
    "training.checkpoint_steps=2",
    "network.dropout=0",
]
DROPS = ["network.dropout=0.3", "training.accumulate=2", "training.epochs=1"]
RESUMED = ("characters", "pronounce")
CRASH = 5
"""The step at which a training dies that is resumed."""


class CrashError(Exception):
    """As sudden as a power cut: nothing is written any more."""


def tasks(folder: Path, devices: int) -> dict[str, tuple[Recipe, Dataset[Any] | None]]:
    """Each task's recipe and data; the last batch of an epoch is often smaller than the others."""
    common = [*COMMON, f"training.devices={devices}"]
    text = characters(folder, *common, "training.average=0.5")
    inputs = ["network.embedding_dropout=0"]
    words = [*inputs, "network.symbol_dropout=0"]
    return {
        "characters": (load_recipe("characters", text), None),
        "pronounce": (
            tiny_transducer(*common, *inputs, "batching.batch_size=13", "training.accumulate=2"),
            tiny_words(),
        ),
        "classify": (
            tiny_classifier(*common, *words, "batching.batch_size=10"),
            labelled_dataset(sentences(85)),  # 51 to train on: the last batch has one
        ),
        "forecast": (
            tiny_forecaster(*common, "batching.batch_size=3", "network.quantiles=[0.2, 0.5, 0.8]"),
            series_dataset(waves(500)),
        ),
        "tag": (
            tiny_tagger(*common, *words, "batching.batch_size=6", "training.schedule=plateau"),
            tagged_dataset(tagged_sentences(60)),
        ),
    }


def train_all(folder: Path, devices: int) -> None:
    """Train every task in this process, as one of `devices`; and some that crash and go on."""
    out = folder / str(devices)
    recipes = tasks(folder, devices)
    with without_curves(), joined(recipes["tag"][0]):
        for name, (recipe, dataset) in recipes.items():
            with _data(dataset):
                train(recipe, out / name, progress="none")
        for name in RESUMED:
            recipe, dataset = _dropping(recipes[name], folder, devices)
            with _data(dataset):
                train(recipe, out / f"{name} whole", progress="none")
                crash(recipe, out / f"{name} broken")
                train(recipe, out / f"{name} broken", resume=True, progress="none")
        crash(recipes["characters"][0], out / "moved")
        rounded = load_recipe(
            "characters", characters(folder, *COMMON, f"training.devices={devices}")
        )
        train(rounded, out / "rounded", progress="none", fine_tuning=FineTuning("int4"))


def main() -> None:
    """What torchrun starts."""
    train_all(Path(sys.argv[1]), int(sys.argv[2]))


def crash(recipe: Recipe, out: Path) -> None:
    """Train until the process dies."""
    step = TaskModule.training_step

    def crashing(self: TaskModule[Any], batch: Any, index: int) -> Any:
        if self.position.step == CRASH:
            raise CrashError
        return step(self, batch, index)

    TaskModule.training_step = crashing  # type: ignore[method-assign, assignment]
    try:
        train(recipe, out, progress="none")
    except CrashError:
        return
    finally:
        TaskModule.training_step = step  # type: ignore[method-assign]


def _dropping(
    task: tuple[Recipe, Dataset[Any] | None], folder: Path, devices: int
) -> tuple[Recipe, Dataset[Any] | None]:
    recipe, dataset = task
    changes = [*COMMON, f"training.devices={devices}", *DROPS]
    if recipe.task == "transduction":
        return tiny_transducer(*changes, "batching.batch_size=13"), dataset
    return load_recipe("characters", [*characters(folder), *changes]), dataset


@contextmanager
def _data(dataset: Dataset[Any] | None) -> Iterator[None]:
    if dataset is not None:
        training.open_dataset = lambda *_: dataset  # type: ignore[attr-defined]
    try:
        yield
    finally:
        training.open_dataset = open_dataset  # type: ignore[attr-defined]


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
