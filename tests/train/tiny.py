"""Small recipes and data sets, so that a whole training takes a second."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

from treadle.data import Dataset, Pair
from treadle_train.catalogue import load_recipe

if TYPE_CHECKING:
    from treadle_train.recipe import Recipe

WORDS = ["".join(letters) for size in (1, 2, 3, 4) for letters in product("abc", repeat=size)][::3]


def pronounced(word: str) -> tuple[str, ...]:
    """A made-up language: one phoneme a letter, in capitals, the first one doubled."""
    return tuple(word[0].upper() + word.upper())


def tiny_words() -> Dataset[Any]:
    entries = [
        Pair(word, (pronounced(word), ("A",))[: 1 + (index % 7 == 0)])
        for index, word in enumerate(WORDS)
    ]
    return Dataset(
        name="tiny",
        options={},
        licence="CC0-1.0",
        source="made up",
        digest="sha256:tiny",
        splits={"train": entries, "validation": entries[:9], "test": entries[5:20]},
    )


def tiny_transducer(*changes: str) -> Recipe:
    return load_recipe(
        "pronounce-en",
        [
            "network.hidden_size=16",
            "network.embedding_size=8",
            "batching.batch_size=4",
            "training.epochs=3",
            "training.checkpoint_steps=2",
            "training.threads=1",
            *changes,
        ],
    )


TINY_CHARACTERS = [
    "network.hidden_size=16",
    "network.embedding_size=8",
    "batching.batch_size=4",
    "batching.steps=8",
    "training.epochs=3",
    "training.checkpoint_steps=3",
    "training.threads=1",
]
TEXT = "the quick brown fox jumps over the lazy dog; pack my box with five dozen jugs.\n" * 12
