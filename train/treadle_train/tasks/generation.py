"""Generation: sequences that are written for a label or a vector."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from treadle.data import Conditioned, Dataset, Frames, Labelled, given_of, written_of
from treadle.errors import DataError
from treadle.vocabulary import Vocabulary
from treadle_train.batching.conditioned import (
    ConditionedBatch,
    ConditionedRows,
)
from treadle_train.batching.rows import RowBatches, by_length
from treadle_train.modules.generation import GeneratorModule
from treadle_train.networks.build import build_generator
from treadle_train.recipe import GeneratorRecipe
from treadle_train.tasks.task import Task

VALIDATION_BATCH = 128


class Generation(Task):
    """Every example is a label and a text, or a vector and symbols.

    Vocabularies, of the training split: "output" with padding 0, start, end and an unknown symbol,
    and "labels", sorted, where labels are given. Raises DataError for data that are neither, a
    label that training has not seen, and a vector of another size than network.features.
    """

    def __init__(self, recipe: GeneratorRecipe, dataset: Dataset[Any]) -> None:
        self.recipe = recipe
        training = self._examples(dataset, "train")
        self.vocabularies = {"output": self._vocabulary(training)}
        if not recipe.network.features:
            labels = sorted({str(given_of(example)) for example in training})
            self.vocabularies["labels"] = Vocabulary(labels, "symbols")
        rows = conditioned_rows(training, self.vocabularies, split="train")
        self.training = rows.cut(recipe.batching.longest)
        limit = recipe.training.validation_limit or None
        validation = self._examples(dataset, "validation")[:limit]
        self.validation = conditioned_rows(validation, self.vocabularies, split="validation")
        for rows in (self.training, self.validation):
            self._check_vectors(rows)

    def steps_per_epoch(self) -> int:
        """Examples over batch size, rounded up."""
        return len(self._batches(0, 0))

    def new_module(self) -> GeneratorModule:
        """The recipe's generator with its loss; vectors are normalized by the training split."""
        network = build_generator(self.recipe, self.vocabularies)
        if network.normalization is not None:
            network.normalization.measure(torch.from_numpy(self.training.given))
        steps = self.steps_per_epoch() * self.recipe.training.epochs
        return GeneratorModule(network, self.recipe, steps)

    def train_batches(self, epoch: int, first: int) -> Iterable[ConditionedBatch]:
        """Bucketed batches of all examples."""
        return self._batches(epoch, first)

    def validation_batches(self) -> list[ConditionedBatch]:
        """Sequences of similar length together."""
        return by_length(self.validation, VALIDATION_BATCH)

    def _batches(self, epoch: int, first: int) -> RowBatches[ConditionedBatch]:
        batching = self.recipe.batching
        return RowBatches(
            examples=self.training,
            batch_size=batching.batch_size,
            window=batching.window,
            seed=self.recipe.training.seed,
            epoch=epoch,
            unknown_rate=batching.unknown_rate,
            unknown=self.vocabularies["output"].unknown or 0,
            first=first,
        )

    def _examples(self, dataset: Dataset[Any], split: str) -> list[Conditioned]:
        """The examples of a split. Raises DataError for none, and for those of another kind."""
        features = self.recipe.network.features
        kind = Frames if features else Labelled
        examples = dataset.split(split)
        if not (
            isinstance(examples, list) and examples and all(isinstance(e, kind) for e in examples)
        ):
            given = f"vectors of {features} numbers with symbols" if features else "labelled texts"
            raise DataError(
                f"This generation needs {given}, but the {split} split of the data set "
                f"{dataset.name!r} has none; use the data set 'folk-songs', one of files with the "
                "columns text and label, or change network.features."
            )
        return list(examples)

    def _check_vectors(self, rows: ConditionedRows) -> None:
        features = self.recipe.network.features
        if features and rows.given.shape[1] != features:
            raise DataError(
                f"This generation is given vectors of {features} numbers, but those of the data "
                f"have {rows.given.shape[1]}; set network.features to that."
            )

    def _vocabulary(self, examples: Sequence[Conditioned]) -> Vocabulary:
        """The symbols that are frequent enough."""
        batching = self.recipe.batching
        splitting = Vocabulary(["<unknown>"], batching.of, unknown=0)
        counts = Counter(s for e in examples for s in splitting.split(written_of(e)))
        kept = [symbol for symbol, count in counts.items() if count >= batching.least_count]
        special = {"padding": "<padding>", "start": "<start>", "end": "<end>"}
        return Vocabulary.build([kept], batching.of, **special, unknown="<unknown>")


def conditioned_rows(
    examples: Sequence[Conditioned],
    vocabularies: Mapping[str, Vocabulary],
    *,
    split: str,
) -> ConditionedRows:
    """Examples as a network reads them; a symbol that training has not seen is unknown.

    Labels where there is a vocabulary of them, else vectors. Raises DataError, naming the place in
    the split, for a label that training has not seen, and for a vector of another size than the
    first.
    """
    output = vocabularies["output"]
    begin, end = [output.start or 0], [output.end or 0]
    written = [
        np.array([*begin, *output.encode(written_of(e), unknown="symbol"), *end], np.int64)
        for e in examples
    ]
    if "labels" in vocabularies:
        return ConditionedRows(_labels(examples, vocabularies["labels"].symbols, split), written)
    return ConditionedRows(_vectors(examples, split), written)


def _labels(
    examples: Sequence[Conditioned], labels: Sequence[str], split: str
) -> NDArray[np.int64]:
    known = {label: index for index, label in enumerate(labels)}
    for index, example in enumerate(examples):
        if given_of(example) not in known:
            raise DataError(
                f"Example {index} of the {split} split has the label {given_of(example)!r}, which "
                f"no example of the training split has ({', '.join(known)[:200]}); add some there, "
                "or leave it out."
            )
    return np.array([known[str(given_of(example))] for example in examples], np.int64)


def _vectors(examples: Sequence[Conditioned], split: str) -> NDArray[np.float32]:
    vectors = [np.asarray(given_of(example)) for example in examples]
    for index, vector in enumerate(vectors):
        if vector.shape != vectors[0].shape:
            raise DataError(
                f"Example {index} of the {split} split should have a vector of {len(vectors[0])} "
                f"numbers, as the first has, got {len(vector)}."
            )
    return np.stack(vectors).astype(np.float32)
