"""A made-up language of tagged sentences, so that a training takes a second."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from tests.train.labelled import split_in_five
from treadle.data import Dataset, Tagged
from treadle_train.catalogue import load_recipe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from treadle_train.recipe import Recipe

PLAIN = ("we", "saw", "them", "in", "winter", ".")
NAMES = ("Ada", "Lovelace", "Alan", "Turing")


def tagged_sentences(count: int, seed: int = 0) -> list[Tagged]:
    """A name of one or two words after "Mr" is a person; after "to" it is a place."""
    draw, made = random.Random(seed), []
    for _ in range(count):
        tokens, tags = [], []
        for _ in range(draw.randint(1, 3)):
            plain = draw.choices(PLAIN, k=draw.randrange(4))
            before, kind = draw.choice((("Mr", "person"), ("to", "place")))
            name = draw.choices(NAMES, k=draw.randint(1, 2))
            tokens += [*plain, before, *name]
            tags += ["O"] * (len(plain) + 1)
            tags += [f"B-{kind}", *[f"I-{kind}"] * (len(name) - 1)]
        made.append(Tagged(tuple(tokens), tuple(tags)))
    return made


def tagged_dataset(examples: Sequence[Tagged]) -> Dataset[Any]:
    return split_in_five(examples, "names")


def open_names(*, seed: int = 0) -> Dataset[Any]:
    del seed
    return tagged_dataset(tagged_sentences(1000))


def tiny_tagger(*changes: str) -> Recipe:
    return load_recipe(
        "tag-entities",
        [
            "data.name=names",
            "vectors.file=",
            "vectors.words=0",
            "vectors.frozen=false",
            "batching.lowercase=false",
            "network.symbol_dropout=0.3",
            "training.outside_cost=0",
            "network.hidden_size=16",
            "network.embedding_size=8",
            "network.characters=0",
            "network.dropout=0.1",
            "network.embedding_dropout=0.1",
            "batching.batch_size=16",
            "training.epochs=5",
            "training.learning_rate=0.02",
            *changes,
        ],
    )
