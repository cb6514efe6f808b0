"""A user's files that a tagger or a classifier cannot learn from: what is said of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.train.labelled import tiny_classifier
from tests.train.tagged import tiny_tagger
from treadle.data import open_dataset
from treadle.errors import DataError
from treadle_train.tasks import open_task
from treadle_train.training import train

if TYPE_CHECKING:
    from pathlib import Path

    from treadle_train.recipe import Recipe

FINE = {
    "tagging": "Ada\tB-person\nsleeps\tO\n\nthey\tO\nsaw\tO\nAda\tB-person\nKing\tI-person\n\n",
    "classification": "text,label\nso fine,good\nso dull,bad\nfine,good\ndull,bad\n",
}
ONE = {"tagging": "we\tO\nsaw\tO\n\n", "classification": "text,label\nso fine,good\n"}
NEW = {"tagging": "us\tB-group\n\n", "classification": "text,label\nhm,unsure\n"}
KIND = {"tagging": "a tag for each token", "classification": "labelled sequences of words"}
TASKS = ("tagging", "classification")


def recipe(task: str, folder: Path, **contents: str) -> Recipe:
    """A tiny one on files of these contents; a split that is not named has FINE."""
    make, ending = (tiny_tagger, "columns") if task == "tagging" else (tiny_classifier, "csv")
    changes = ["data.name=files", f"data.options.format={ending}", "batching.least_count=1"]
    if task == "classification":
        changes.append('data.options.columns={text = "text", label = "label"}')
    for split in ("train", "validation", "test"):
        path = folder / f"{split}.{ending}"
        path.write_text(contents.get(split, FINE[task]))
        changes.append(f"data.options.{split}={path}")
    asked = make("training.epochs=1", *changes)
    asked.data.options.pop("seed", None)
    return asked


def opened(asked: Recipe) -> None:
    open_task(asked, open_dataset(asked.data.name, asked.data.options))


@pytest.mark.parametrize("split", ["train", "validation"])
@pytest.mark.parametrize("task", TASKS)
def test_an_empty_file_is_named(task: str, split: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"{split}\.|{KIND[task]}, but the {split} split"):
        opened(recipe(task, tmp_path, **{split: ""}))


@pytest.mark.parametrize("task", TASKS)
def test_one_kind_alone_teaches_nothing(task: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"at least two .* to tell apart.*add examples of another"):
        opened(recipe(task, tmp_path, train=ONE[task]))


@pytest.mark.parametrize("task", TASKS)
def test_what_training_has_not_seen_is_refused_where_it_is_validated(
    task: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="which no example of the training split has"):
        opened(recipe(task, tmp_path, validation=NEW[task]))


def test_the_cost_of_what_is_missed_needs_an_outside(tmp_path: Path) -> None:
    tags = "Ada\tB-person\n\nKing\tB-place\n\n"
    asked = recipe("tagging", tmp_path, train=tags, validation=tags)
    opened(asked)
    object.__setattr__(asked.training, "outside_cost", 1.0)
    with pytest.raises(DataError, match=r"outside_cost is for tags of spans.*B-person, B-place"):
        opened(asked)


@pytest.mark.parametrize("task", TASKS)
def test_length_has_no_limit(task: str, tmp_path: Path) -> None:
    long = {"tagging": "they\tO\n" * 700 + "\n", "classification": f"{'so fine ' * 350},good\n"}
    whole = train(recipe(task, tmp_path, train=FINE[task] + long[task]), tmp_path / "run")
    assert whole.history[0]["train_loss"] > 0
