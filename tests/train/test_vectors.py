"""Vectors of words in recipes: what the embedding starts with, what is said, what is refused."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from tests.train.labelled import labelled_dataset, sentences, tiny_classifier
from tests.train.resuming import timeless, weights
from tests.train.tagged import tagged_dataset, tagged_sentences, tiny_tagger
from tests.train.tiny import TEXT, TINY_CHARACTERS
from treadle.data import Dataset, open_dataset
from treadle.data.registry import GLOVE, locate
from treadle.errors import DataError, RecipeError
from treadle_train.catalogue import load_recipe
from treadle_train.embeddings import word_vectors
from treadle_train.modules.base import TaskModule
from treadle_train.tasks import Task, open_task
from treadle_train.training import train

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from treadle_train.recipe import Recipe

SIZE = 8
WORDS = ("we", "ada", "winter", "never-seen", "x", "fine", "the", "dull")
VECTORS = {word: np.full(SIZE, 10.0 + index, np.float32) for index, word in enumerate(WORDS)}


@pytest.fixture
def vectors(tmp_path: Path) -> Path:
    path = tmp_path / "words.txt"
    path.write_text("".join(f"{w} {' '.join(map(str, v))}\n" for w, v in VECTORS.items()))
    return path


def names() -> Dataset[Any]:
    return tagged_dataset(tagged_sentences(120))


def tagger(path: Path, *changes: str) -> Recipe:
    return tiny_tagger(f"vectors.file={path}", "batching.lowercase=true", *changes)


def language_model(tmp_path: Path, *changes: str) -> Recipe:
    text = tmp_path / "text.txt"
    text.write_text(TEXT)
    sizes = ("network.embedding_size=8", "symbols.of=words")
    return load_recipe(
        "characters", [*TINY_CHARACTERS, f"data.options.path={text}", *sizes, *changes]
    )


def rows(task: Task, name: str) -> dict[str, np.ndarray[Any, Any]]:
    """The vector of each word in a new network."""
    torch.manual_seed(0)
    table = task.new_module().network.embedding.weight.detach().numpy()
    return dict(zip(task.vocabularies[name].symbols, table, strict=True))


def test_a_tagger_starts_with_the_vectors_of_the_file(vectors: Path) -> None:
    task = open_task(tagger(vectors), names())
    found = rows(task, "input")
    for word in ("we", "ada", "winter"):
        np.testing.assert_array_equal(found[word], VECTORS[word])
    assert np.abs(found["turing"]).max() < 1  # none in the file: as ever
    assert "never-seen" not in found
    assert task.vectors is not None
    said = task.vectors.to_json()
    assert (said["found"], said["symbols"]) == (3, len(found) - 2)
    tokens = [t.lower() for e in names().split("train") for t in e.tokens]
    share = sum(token in VECTORS for token in tokens) / len(tokens)
    assert said["occurrences"] == pytest.approx(share, abs=1e-6)
    assert f"{share:.1%} of the words read in training" in str(task.vectors)
    assert "less than 50%" in str(task.vectors)


def test_words_of_the_file_join_what_is_known(vectors: Path) -> None:
    found = rows(open_task(tagger(vectors, "vectors.words=4"), names()), "input")
    np.testing.assert_array_equal(found["never-seen"], VECTORS["never-seen"])
    letters = tagger(vectors, "vectors.words=9", "network.characters=3")
    task = open_task(letters, names())
    assert "x" not in task.vocabularies["input"].symbols  # a letter that training has not seen
    assert "never-seen" in task.vocabularies["input"].symbols
    moods = tiny_classifier(f"vectors.file={vectors}", "vectors.words=9")
    known = rows(open_task(moods, labelled_dataset(sentences(100))), "input")
    np.testing.assert_array_equal(known["x"], VECTORS["x"])
    assert "never-seen" not in known  # a text is split at the hyphen


def test_written_as_it_is_or_in_lower_case(vectors: Path) -> None:
    cased = tiny_tagger(f"vectors.file={vectors}", "vectors.lowercase=true")
    np.testing.assert_array_equal(rows(open_task(cased, names()), "input")["Ada"], VECTORS["ada"])


def test_a_classifier_and_a_language_model_of_words_start_with_them(
    vectors: Path, tmp_path: Path
) -> None:
    moods = tiny_classifier(f"vectors.file={vectors}")
    found = rows(open_task(moods, labelled_dataset(sentences(100))), "input")
    np.testing.assert_array_equal(found["fine"], VECTORS["fine"])
    recipe = language_model(tmp_path, f"vectors.file={vectors}")
    task = open_task(recipe, open_dataset(recipe.data.name, recipe.data.options))
    np.testing.assert_array_equal(rows(task, "symbols")["the"], VECTORS["the"])


@pytest.mark.parametrize("frozen", [False, True])
def test_frozen_vectors_stay_and_the_others_are_learned(
    frozen: bool, vectors: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("treadle_train.training", "treadle_train.run"):
        monkeypatch.setattr(f"{module}.open_dataset", lambda _name, _options: names())
    flag = f"vectors.frozen={str(frozen).lower()}"
    recipe = tagger(vectors, flag, "training.epochs=1", "training.weight_decay=0.1")
    before = rows(open_task(recipe, names()), "input")
    run = train(recipe, tmp_path / "run", progress="none")
    table = run.network.get_parameter("embedding.weight").detach().numpy()
    after = dict(zip(run.vocabularies["input"].symbols, table, strict=True))
    assert np.array_equal(after["ada"], VECTORS["ada"]) == frozen
    assert not np.array_equal(after["turing"], before["turing"])
    document = json.loads((tmp_path / "run" / "run.json").read_text())
    assert document["vectors"]["frozen"] == frozen
    assert run.provenance["vectors"] == f"sha256:{document['vectors']['sha256']}"
    report = (tmp_path / "run" / "report.md").read_text()
    assert f"Vectors: {vectors} has those of 3 of" in report


def test_a_training_that_was_interrupted_ends_in_the_same_weights(
    vectors: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("treadle_train.training", "treadle_train.run"):
        monkeypatch.setattr(f"{module}.open_dataset", lambda _name, _options: names())
    changes = ("training.epochs=3", "training.checkpoint_steps=1", "training.average=0.9")
    recipe = tagger(vectors, "vectors.frozen=true", "vectors.words=8", *changes)
    whole = train(recipe, tmp_path / "whole", progress="none")
    step = TaskModule.training_step

    def interrupted(self: TaskModule[Any], batch: Any, index: int) -> Any:
        if self.position.step == 7:
            os.kill(os.getpid(), signal.SIGINT)
        return step(self, batch, index)

    with monkeypatch.context() as patch:
        patch.setattr(TaskModule, "training_step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(recipe, tmp_path / "broken", progress="none")
    content = vectors.read_text()
    vectors.write_text(content.replace("10.0", "10.5"))
    with pytest.raises(RecipeError, match=r"began with vectors of sha256 .* get that file back"):
        train(recipe, tmp_path / "broken", resume=True, progress="none")
    vectors.write_text(content)
    again = train(recipe, tmp_path / "broken", resume=True, progress="none")
    assert weights(again.path) == weights(whole.path)
    assert timeless(again.history) == timeless(whole.history)


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        (
            lambda path: tagger(path, "network.embedding_size=9"),
            RecipeError,
            "have 8 numbers, but network.embedding_size is 9; set network.embedding_size = 8",
        ),
        (
            lambda path: tagger(path.with_name("gone.txt")),
            DataError,
            "vectors.file should be the path of a file of vectors or one of glove, but there is no",
        ),
        (
            lambda path: tiny_tagger(f"vectors.file={path}", "vectors.format=word2vec"),
            DataError,
            "expected the number of words and of their numbers",
        ),
    ],
)
def test_vectors_that_do_not_fit_are_refused(
    change: Callable[[Path], Recipe], kind: type[Exception], message: str, vectors: Path
) -> None:
    with pytest.raises(kind, match=message):
        open_task(change(vectors), names())


def test_a_file_without_a_word_of_the_data_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "others.txt"
    path.write_text("zzz 1 2 3 4 5 6 7 8\n")
    with pytest.raises(DataError, match="got one for none of"):
        open_task(tagger(path), names())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda _: tiny_classifier("vectors.file=glove", "batching.of=characters"), "batching.of"),
        (lambda path: language_model(path, "vectors.file=glove", "symbols.of=subwords"), "words"),
        (lambda path: language_model(path, "vectors.words=9"), r"set vectors\.words = 0"),
        (lambda path: tagger(path, "vectors.frozen=maybe"), "true or false"),
    ],
)
def test_recipes_that_mean_nothing_are_refused(
    make: Callable[[Path], Recipe], message: str, tmp_path: Path
) -> None:
    with pytest.raises(RecipeError, match=message):
        make(tmp_path)


def test_a_published_file_is_known_by_its_name(
    vectors: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(word_vectors, "locate", lambda source: {GLOVE: vectors}[source])
    task = open_task(tiny_tagger("vectors.file=glove", "batching.lowercase=true"), names())
    assert task.vectors is not None
    assert (task.vectors.name, task.vectors.licence) == ("glove", "PDDL 1.0")


def test_glove_covers_english() -> None:
    try:
        locate(GLOVE)
    except DataError as error:
        pytest.skip(str(error))
    recipe = tiny_tagger(
        "vectors.file=glove", "network.embedding_size=50", "batching.lowercase=true"
    )
    task = open_task(recipe, names())
    assert task.vectors is not None
    assert task.vectors.embeddings.coverage.found == 10  # of 12: no Lovelace, no Turing
    assert task.vectors.sha256 == GLOVE.sha256
