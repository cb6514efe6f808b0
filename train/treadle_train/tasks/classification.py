"""Classification: whole sequences with one label each."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch

from treadle.data import Classified, Dataset, Frames, Labelled
from treadle.errors import DataError
from treadle.vocabulary import Kind, Vocabulary
from treadle_train.batching.labelled import LabelledBatch, LabelledRows, encoded
from treadle_train.batching.rows import RowBatches, by_length
from treadle_train.embeddings.word_vectors import joining_words, open_word_vectors
from treadle_train.modules.classification import ClassifierModule
from treadle_train.networks.build import build_classifier
from treadle_train.networks.frames import Normalization
from treadle_train.recipe import ClassifierRecipe
from treadle_train.tasks.task import Task

VALIDATION_BATCH = 256


class Classification(Task):
    """Every example is a text, or frames of numbers, and its label.

    Vocabularies, both of the training split: "labels", sorted, and where it reads text "input" with
    padding 0 and an unknown symbol. Raises DataError for data that are no labelled sequences, an
    empty one, fewer than two labels, and a label that training has not seen.
    """

    def __init__(self, recipe: ClassifierRecipe, dataset: Dataset[Any]) -> None:
        self.recipe = recipe
        training = self._examples(dataset, "train")
        labels = sorted({str(example.label) for example in training})
        if len(labels) < 2:
            raise DataError(
                f"Classification needs at least two labels to tell apart, but all of the training "
                f"split of the data set {dataset.name!r} is {labels[0]!r}; add examples of another."
            )
        self.vocabularies = {"labels": Vocabulary(labels, "symbols")}
        if recipe.batching.of != "frames":
            self.vocabularies["input"] = self._open_words(training)
        self.training = self._rows(training, "train")
        limit = recipe.training.validation_limit or None
        validation = self._examples(dataset, "validation")[:limit]
        self.validation = self._rows(validation, "validation")

    def steps_per_epoch(self) -> int:
        """Examples over batch size, rounded up."""
        return len(self._batches(0, 0))

    def new_module(self) -> ClassifierModule:
        """The recipe's classifier with its loss; frames are normalized by the training split."""
        network = build_classifier(self.recipe, self.vocabularies)
        if isinstance(network.embedding, Normalization):
            frames = np.concatenate([np.asarray(row) for row in self.training.rows])
            network.embedding.measure(torch.from_numpy(frames))
        steps = self.steps_per_epoch() * self.recipe.training.epochs
        module = ClassifierModule(network, self.recipe, steps)
        module.held = self.begin_with_vectors(network.embedding)
        return module

    def train_batches(self, epoch: int, first: int) -> Iterable[LabelledBatch]:
        """Bucketed batches of all examples."""
        return self._batches(epoch, first)

    def validation_batches(self) -> list[LabelledBatch]:
        """Sequences of similar length together."""
        return by_length(self.validation, VALIDATION_BATCH)

    def _batches(self, epoch: int, first: int) -> RowBatches[LabelledBatch]:
        batching, known = self.recipe.batching, self.vocabularies.get("input")
        return RowBatches(
            examples=self.training,
            batch_size=batching.batch_size,
            window=batching.window,
            seed=self.recipe.training.seed,
            epoch=epoch,
            unknown_rate=0.0 if known is None else batching.unknown_rate,
            unknown=0 if known is None else known.unknown or 0,
            first=first,
        )

    def _examples(self, dataset: Dataset[Any], split: str) -> list[Classified]:
        """The examples of a split. Raises DataError for none, and for those of another kind."""
        reads = self.recipe.batching.of
        kind = np.ndarray if reads == "frames" else str
        examples = dataset.split(split)
        if not (
            isinstance(examples, list)
            and examples
            and all(isinstance(e, Labelled | Frames) for e in examples)
            and all(e.label is not None and isinstance(e.inputs, kind) for e in examples)
        ):
            raise DataError(
                f"This classification needs labelled sequences of {reads}, but the {split} split "
                f"of the data set {dataset.name!r} has none; use the data set 'movie-reviews' for "
                f"words and characters, or change batching.of."
            )
        return list(examples)

    def _open_words(self, examples: Sequence[Classified]) -> Vocabulary:
        """The symbols that are frequent enough, and words that join them; their vectors, too."""
        kind: Kind = "words" if self.recipe.batching.of == "words" else "characters"
        splitting = Vocabulary(["<unknown>"], kind, unknown=0)
        counts = Counter(s for e in examples for s in splitting.split(str(e.inputs)))
        least = self.recipe.batching.least_count
        kept = [symbol for symbol, count in counts.items() if count >= least]
        # What a text is never split into would lie there unread.
        joining = [w for w in joining_words(self.recipe.vectors) if splitting.split(w) == [w]]
        symbols = [*kept, *joining]
        vocabulary = Vocabulary.build([symbols], kind, padding="<padding>", unknown="<unknown>")
        size = self.recipe.network.embedding_size
        self.vectors = open_word_vectors(self.recipe.vectors, vocabulary, counts, size)
        return vocabulary

    def _rows(self, examples: Sequence[Classified], split: str) -> LabelledRows:
        known = {label: index for index, label in enumerate(self.vocabularies["labels"].symbols)}
        rows = [encoded(example, self.vocabularies) for example in examples]
        for index, (example, row) in enumerate(zip(examples, rows, strict=True)):
            if example.label not in known:
                raise DataError(
                    f"Example {index} of the {split} split has the label {example.label!r}, which "
                    f"no example of the training split has ({', '.join(known)}); add some there, "
                    f"or leave it out."
                )
            if not len(row):
                raise DataError(
                    f"Example {index} of the {split} split, {example.label!r}, is empty; leave it "
                    f"out."
                )
            self._check_frames(row, index, split)
        return LabelledRows(rows, np.array([known[str(e.label)] for e in examples], np.int64))

    def _check_frames(self, row: Any, index: int, split: str) -> None:
        features = self.recipe.network.features
        if features and row.shape[1:] != (features,):
            raise DataError(
                f"Example {index} of the {split} split should be frames of {features} numbers, "
                f"[time, {features}], got {list(row.shape)}; set network.features to what it has."
            )
