"""Transduction: pairs of a word and one of its pronunciations."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch

from treadle.data import Dataset, Pronunciation
from treadle.errors import DataError
from treadle.vocabulary import Vocabulary
from treadle_train.batching.bucketed import BucketedBatches, PairBatch, Pairs
from treadle_train.batching.padding import BucketingReport
from treadle_train.modules.transduction import TransducerModule, Words
from treadle_train.networks.build import build_transducer
from treadle_train.recipe import TransducerRecipe
from treadle_train.tasks.task import Task

VALIDATION_BATCH = 500


class Transduction(Task):
    """Every (word, pronunciation) pair is an example; every listed pronunciation counts as right.

    Vocabularies: "input" with padding 0 and an unknown symbol, "output" with padding 0, start 1
    and end 2, both from the training split.
    """

    def __init__(self, recipe: TransducerRecipe, dataset: Dataset[Any]) -> None:
        self.recipe = recipe
        words = _words(dataset, "train")
        self.vocabularies = {
            "input": Vocabulary.build(
                [entry.word for entry in words],
                "characters",
                padding="<padding>",
                unknown="<unknown>",
            ),
            "output": Vocabulary.build(
                [phones for entry in words for phones in entry.pronunciations],
                "symbols",
                padding="<padding>",
                start="<start>",
                end="<end>",
            ),
        }
        self.start, self.end = _ends(self.vocabularies["output"])
        self.pairs = self._pairs(words)
        validation = _words(dataset, "validation")
        self.validation = validation[: recipe.training.validation_limit or None]

    def steps_per_epoch(self) -> int:
        """Pairs over batch size, rounded up."""
        return -(-len(self.pairs) // self.recipe.batching.batch_size)

    def new_module(self) -> TransducerModule:
        """The recipe's transducer with its loss."""
        network = build_transducer(self.recipe, self.vocabularies)
        steps = self.steps_per_epoch() * self.recipe.training.epochs
        return TransducerModule(network, self.recipe, steps, self.start, self.end)

    def bucketing_report(self) -> BucketingReport:
        """What bucketing saves in the first epoch."""
        return BucketingReport.of(self._bucketed(0, 0))

    def train_batches(self, epoch: int, first: int) -> Iterable[PairBatch]:
        """Bucketed batches of all pairs."""
        return self._bucketed(epoch, first)

    def _bucketed(self, epoch: int, first: int) -> BucketedBatches:
        batching = self.recipe.batching
        return BucketedBatches(
            pairs=self.pairs,
            batch_size=batching.batch_size,
            window=batching.window,
            seed=self.recipe.training.seed,
            epoch=epoch,
            unknown_rate=batching.unknown_rate,
            unknown=self.vocabularies["input"].unknown or 0,
            first=first,
        )

    def validation_batches(self) -> list[tuple[PairBatch, Words]]:
        """Words of similar length together, each batch with its pairs."""
        words = sorted(self.validation, key=lambda entry: len(entry.word))
        chunks = [words[k : k + VALIDATION_BATCH] for k in range(0, len(words), VALIDATION_BATCH)]
        return [self._validation_batch(chunk) for chunk in chunks]

    def validation_pairs(self) -> Pairs:
        """All pairs of the validation split."""
        return self._pairs(self.validation)

    def _validation_batch(self, words: Sequence[Pronunciation]) -> tuple[PairBatch, Words]:
        pairs = self._pairs(words)
        sources = Pairs.of(
            [self._source(entry.word) for entry in words],
            [[] for _ in words],
            start=self.start,
            end=self.end,
        )
        encode = self.vocabularies["output"].encode
        answers = [
            [tuple(encode(" ".join(p), unknown="symbol")) for p in entry.pronunciations]
            for entry in words
        ]
        source = torch.from_numpy(sources.source)
        lengths = torch.from_numpy(sources.source_lengths)
        return pairs.batch(np.arange(len(pairs))), (source, lengths, answers)

    def _pairs(self, words: Sequence[Pronunciation]) -> Pairs:
        encode = self.vocabularies["output"].encode
        sources, targets = [], []
        for entry in words:
            source = self._source(entry.word)
            for phones in entry.pronunciations:
                sources.append(source)
                targets.append(encode(" ".join(phones)))
        return Pairs.of(sources, targets, start=self.start, end=self.end)

    def _source(self, word: str) -> list[int]:
        return self.vocabularies["input"].encode(word, unknown="symbol")


def _words(dataset: Dataset[Any], split: str) -> list[Pronunciation]:
    words = dataset.split(split)
    if not words or not all(isinstance(entry, Pronunciation) for entry in words):
        raise DataError(
            f"Transduction needs words with pronunciations, but the {split} split of the data set "
            f"{dataset.name!r} has none; use the data set 'cmudict'."
        )
    return list(words)


def _ends(vocabulary: Vocabulary) -> tuple[int, int]:
    if vocabulary.start is None or vocabulary.end is None:
        raise DataError("The output vocabulary of a transducer needs a start and an end symbol.")
    return vocabulary.start, vocabulary.end
