"""A made-up language of two moods, in words and in frames, so that a training takes a second."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import numpy as np

from treadle.data import Classified, Dataset, Frames, Labelled
from treadle_train.catalogue import load_recipe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from treadle_train.recipe import Recipe

GOOD, BAD, PLAIN = ("fine", "great"), ("dull", "awful"), ("a", "film", "it's", "so", "the", "!")


def sentences(count: int, seed: int = 0) -> list[Labelled]:
    """One telling word among plain ones."""
    draw, made = random.Random(seed), []
    for _ in range(count):
        label = draw.choice(("good", "bad"))
        words = draw.choices(PLAIN, k=draw.randrange(7))
        words.insert(draw.randint(0, len(words)), draw.choice(GOOD if label == "good" else BAD))
        made.append(Labelled(" ".join(words), label))
    return made


def frames(count: int, seed: int = 0) -> list[Frames]:
    """Three numbers a step; the second, on average below or above 5, tells the label."""
    draw, made = np.random.default_rng(seed), []
    for _ in range(count):
        label = ("low", "high")[int(draw.integers(2))]
        x = draw.normal(size=(int(draw.integers(1, 9)), 3)).astype(np.float32)
        x[:, 1] += 4 if label == "low" else 6
        x[:, 2] = 7
        made.append(Frames(x, label))
    return made


def split_in_five(examples: Sequence[Any], name: str) -> Dataset[Any]:
    """Three fifths to train on, one to validate with, one to test with."""
    share = len(examples) // 5
    return Dataset(
        name=name,
        options={},
        licence="CC0-1.0",
        source="made up",
        digest=f"sha256:{name}",
        splits={
            "train": list(examples[2 * share :]),
            "validation": list(examples[:share]),
            "test": list(examples[share : 2 * share]),
        },
    )


def labelled_dataset(examples: Sequence[Classified], name: str = "moods") -> Dataset[Any]:
    return split_in_five(examples, name)


def open_moods(*, seed: int = 0) -> Dataset[Any]:
    del seed
    return labelled_dataset(sentences(1600))


def open_levels(*, seed: int = 0) -> Dataset[Any]:
    del seed
    return labelled_dataset(frames(1600), "levels")


def tiny_classifier(*changes: str) -> Recipe:
    return load_recipe(
        "sentiment",
        [
            "data.name=moods",
            "network.hidden_size=16",
            "network.embedding_size=8",
            "network.dropout=0.1",
            "network.embedding_dropout=0.1",
            "batching.batch_size=16",
            "training.epochs=4",
            "training.learning_rate=0.02",
            *changes,
        ],
    )
