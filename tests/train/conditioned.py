"""Made-up scales that go up or down from any letter, so that a training takes a second."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import numpy as np

from tests.train.labelled import split_in_five
from treadle.data import Dataset, Frames, Labelled
from treadle_train.catalogue import load_recipe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from treadle.data import Conditioned
    from treadle_train.recipe import Recipe

LETTERS = "abcdefgh"


def scale(draw: random.Random, label: str) -> tuple[str, ...]:
    """Two to six letters in the order of the alphabet, or against it."""
    count = draw.randint(2, 6)
    first = draw.randrange(len(LETTERS) - count + 1)
    letters = LETTERS[first : first + count]
    return tuple(letters if label == "up" else letters[::-1])


def scales(count: int, seed: int = 0) -> list[Labelled]:
    draw, made = random.Random(seed), []
    for _ in range(count):
        label = draw.choice(("up", "down"))
        made.append(Labelled(scale(draw, label), label))
    return made


def vectored_scales(count: int, seed: int = 0) -> list[Frames]:
    """The second of three numbers, above or below 5, says which way the scale goes."""
    draw, numbers, made = random.Random(seed), np.random.default_rng(seed), []
    for _ in range(count):
        label = draw.choice(("up", "down"))
        x = numbers.normal(size=(1, 3)).astype(np.float32)
        x[:, 1] += 9 if label == "up" else 1
        x[:, 2] = 7
        made.append(Frames(x, symbols=scale(draw, label)))
    return made


def conditioned_dataset(examples: Sequence[Conditioned], name: str = "scales") -> Dataset[Any]:
    return split_in_five(examples, name)


def open_scales(*, seed: int = 0) -> Dataset[Any]:
    del seed
    return conditioned_dataset(scales(1200))


def open_vectors(*, seed: int = 0) -> Dataset[Any]:
    del seed
    return conditioned_dataset(vectored_scales(1200), "vectored")


def tiny_generator(*changes: str) -> Recipe:
    return load_recipe(
        "melody",
        [
            "data.name=scales",
            "data.options={}",
            "network.hidden_size=16",
            "network.embedding_size=8",
            "network.condition_size=4",
            "network.dropout=0.1",
            "batching.batch_size=16",
            "training.epochs=4",
            "training.learning_rate=0.03",
            "training.precision=float32",
            "decoding.max_length=9",
            *changes,
        ],
    )
