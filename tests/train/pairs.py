"""A made-up language to translate from, and small recipes for it."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

from treadle.data import Dataset, Pair
from treadle_train.recipe import TransducerRecipe, recipe_from_table

if TYPE_CHECKING:
    from collections.abc import Sequence

NAMES = {"Neko": "the cat", "inu": "a dog", "tori": "one bird", "uma": "my horse"}
DOES = {"taberu": "eats", "neru": "sleeps", "miru": "looks, then"}
ENDS = {"!": "!", ".": "."}


def translated(count: int = 200) -> list[Pair]:
    """Who does it, who else does it, and how it ends; of the first name there are two versions."""
    pairs = []
    for first, second, does, end in product(NAMES, NAMES, DOES, ENDS):
        said = f"{NAMES[first]} {DOES[does]} {NAMES[second]} {ENDS[end]}"
        others = (f"{NAMES[first]} {DOES[does]} {ENDS[end]}",) if first == second else ()
        pairs.append(Pair((first, second, does, end), (said, *others)))
    return (pairs * 3)[:count]


def dataset(train: Sequence[Pair] = (), held_out: Sequence[Pair] = ()) -> Dataset[Any]:
    examples = list(train) or translated()
    other = list(held_out) or translated()[::7]
    splits = {"train": examples, "validation": other, "test": other}
    return Dataset("sentences", {}, "CC0-1.0", "made up", "sha256:sentences", splits)


def tiny_recipe(**changes: Any) -> TransducerRecipe:
    """A recipe of sentences; changes are of sections, or of the recipe itself."""
    table: dict[str, Any] = {
        "name": "sentences",
        "task": "transduction",
        "summary": "made up",
        "licence": "Apache-2.0",
        "data": {"name": "sentences"},
        "source": {"of": "symbols"},
        "target": {"of": "words"},
        "network": {"embedding_size": 16, "hidden_size": 32, "encoder_layers": 1, "dropout": 0.0},
        "batching": {"batch_size": 8},
        "training": {"epochs": 5, "learning_rate": 0.02, "threads": 1},
        "decoding": {"max_length": 20},
    }
    for name, change in changes.items():
        table[name] = table.get(name, {}) | change if isinstance(change, dict) else change
    recipe = recipe_from_table(table)
    if not isinstance(recipe, TransducerRecipe):
        raise TypeError(f"expected a recipe of a transducer, got {recipe.task}")
    return recipe
