"""Language modelling: one long text, symbol by symbol."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from treadle.data import Dataset
from treadle.errors import DataError
from treadle_train.batching.lanes import LaneBatch, LaneBatches
from treadle_train.embeddings.word_vectors import open_word_vectors
from treadle_train.modules.language_modelling import LanguageModelModule
from treadle_train.networks.build import build_language_model
from treadle_train.recipe import LanguageModelRecipe
from treadle_train.symbols import learn_vocabulary
from treadle_train.tasks.task import Task


class LanguageModelling(Task):
    """Characters, words or subwords of a text.

    One vocabulary, "symbols", of those of the training split and an unknown symbol.
    """

    def __init__(self, recipe: LanguageModelRecipe, dataset: Dataset[Any]) -> None:
        self.recipe = recipe
        text = _text(dataset, "train")
        symbols = recipe.symbols
        vocabulary = learn_vocabulary(
            [text], symbols.of, symbols.size, least_count=symbols.least_count
        )
        self.vocabularies = {"symbols": vocabulary}
        if recipe.vectors.file:
            counts, size = Counter(vocabulary.split(text)), recipe.network.embedding_size
            self.vectors = open_word_vectors(recipe.vectors, vocabulary, counts, size)
        self.ids = self._encode(text)
        limit = recipe.training.validation_limit or None
        validation = _text(dataset, "validation")
        encoded = self._encode(validation)
        self.characters_per_symbol = len(validation) / len(encoded)
        self.validation = encoded[:limit]

    def steps_per_epoch(self) -> int:
        """Symbols a lane over steps a batch, rounded up."""
        return len(self._batches(self.ids, 0, 0, 0.0))

    def new_module(self) -> LanguageModelModule:
        """The recipe's language model with its loss."""
        network = build_language_model(self.recipe, self.vocabularies)
        steps = self.steps_per_epoch() * self.recipe.training.epochs
        module = LanguageModelModule(network, self.recipe, steps, self.characters_per_symbol)
        module.held = self.begin_with_vectors(network.embedding)
        return module

    def train_batches(self, epoch: int, first: int) -> Iterable[LaneBatch]:
        """The text in lanes, the state carried from batch to batch."""
        return self._batches(self.ids, epoch, first, self.recipe.batching.unknown_rate)

    def validation_batches(self) -> list[LaneBatch]:
        """The validation text in lanes."""
        return list(self._batches(self.validation, 0, 0, 0.0))

    def _batches(
        self, ids: NDArray[np.int64], epoch: int, first: int, unknown_rate: float
    ) -> LaneBatches:
        return LaneBatches(
            ids=ids,
            batch_size=self.recipe.batching.batch_size,
            steps=self.recipe.batching.steps,
            seed=self.recipe.training.seed,
            epoch=epoch,
            unknown_rate=unknown_rate,
            unknown=self.vocabularies["symbols"].unknown or 0,
            first=first,
        )

    def _encode(self, text: str) -> NDArray[np.int64]:
        return np.array(self.vocabularies["symbols"].encode(text, unknown="symbol"), np.int64)


def _text(dataset: Dataset[Any], split: str) -> str:
    text = dataset.split(split)
    if not isinstance(text, str) or len(text) < 2:
        raise DataError(
            f"Language modelling needs a text of at least two characters, but the {split} split "
            f"of the data set {dataset.name!r} has none; use the data set 'text' and a longer file."
        )
    return text
