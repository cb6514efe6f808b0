"""Transduction: pairs of a text and what becomes of it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from treadle.data import Dataset, Pair
from treadle.errors import DataError
from treadle.texts import TextReading
from treadle.vocabulary import Vocabulary
from treadle_train.batching.bucketed import BucketedBatches, PairBatch, Pairs
from treadle_train.batching.padding import BucketingReport
from treadle_train.modules.transduction import Questions, TransducerModule
from treadle_train.networks.build import build_transducer
from treadle_train.recipe import TransducerRecipe
from treadle_train.sections.data import SideSection
from treadle_train.symbols import learn_vocabulary
from treadle_train.tasks.task import Task

VALIDATION_BATCH = 500


class Transduction(Task):
    """Every source with one of its targets is an example; every target counts as right.

    Vocabularies: "input" with padding 0 and an unknown symbol, "output" with padding 0, start 1,
    end 2 and, where not all symbols of the training split are kept, an unknown one. Raises
    DataError for data that are no pairs, an empty source, and a text that is too long.
    """

    def __init__(self, recipe: TransducerRecipe, dataset: Dataset[Any]) -> None:
        self.recipe = recipe
        training = _examples(dataset, "train")
        source, target = recipe.source, recipe.target
        limited = target.size or target.least_count > 1 or target.of == "subwords"
        ends = ("padding", "start", "end", *(["unknown"] if limited else []))
        self.source = _reading("source", source, (one.inputs for one in training), _INPUT)
        answers = (answer for one in training for answer in one.answers)
        self.target = _reading("target", target, answers, ends)
        self.vocabularies = {"input": self.source.vocabulary, "output": self.target.vocabulary}
        self.start, self.end = _ends(self.vocabularies["output"])
        encoded = self._encoded(training, "train")
        kept = [pair for pair in encoded.pairs if self._fits(*pair, dataset.name)]
        self.left_out = len(encoded.pairs) - len(kept)
        if not kept:
            raise DataError(
                f"No pair of the training split of the data set {dataset.name!r} is short enough; "
                "raise source.longest and target.longest."
            )
        self.pairs = self._padded(kept)
        validation = _examples(dataset, "validation")
        self.validation = validation[: recipe.training.validation_limit or None]

    def steps_per_epoch(self) -> int:
        """Pairs over batch size, rounded up."""
        return -(-len(self.pairs) // self.recipe.batching.batch_size)

    def new_module(self) -> TransducerModule:
        """The recipe's transducer with its loss."""
        network = build_transducer(self.recipe, self.vocabularies)
        steps = self.steps_per_epoch() * self.recipe.training.epochs
        return TransducerModule(network, self.recipe, steps, self.target)

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

    def validation_batches(self) -> list[tuple[PairBatch | None, Questions]]:
        """Sources of similar length together, each batch with its pairs.

        A target that cannot be written with the symbols of the training split is in no pair, since
        its likelihood is 0; as an answer it counts.
        """
        examples = sorted(self.validation, key=lambda one: len(one.inputs))
        chunks = range(0, len(examples), VALIDATION_BATCH)
        return [self._validation_batch(examples[k : k + VALIDATION_BATCH]) for k in chunks]

    def validation_pairs(self) -> Pairs:
        """All pairs of the validation split. Raises DataError where none can be written."""
        pairs = self._encoded(self.validation, "validation").pairs
        if not pairs:
            raise DataError(
                "No target of the validation split can be written with the symbols of the training "
                "split; choose another split of the data."
            )
        return self._padded(pairs)

    def _validation_batch(self, examples: Sequence[Pair]) -> tuple[PairBatch | None, Questions]:
        encoded = self._encoded(examples, "validation")
        pairs = self._padded(encoded.pairs) if encoded.pairs else None
        asked = self._padded([(source, []) for source in encoded.sources])
        return None if pairs is None else pairs.batch(np.arange(len(pairs))), Questions(
            torch.from_numpy(asked.source),
            torch.from_numpy(asked.source_lengths),
            [list(map(self.target.written, one.answers)) for one in examples],
        )

    def _encoded(self, examples: Sequence[Pair], split: str) -> "_Encoded":
        encoded = _Encoded()
        for index, example in enumerate(examples):
            source = self.source.ids(example.inputs, unknown="symbol")
            if not source:
                raise DataError(
                    f"Example {index} of the {split} split has an empty source; leave it out."
                )
            encoded.sources.append(source)
            targets = map(self.target.known_ids, example.answers)
            encoded.pairs += [(source, target) for target in targets if target is not None]
        return encoded

    def _fits(self, source: list[int], target: list[int], name: str) -> bool:
        """Whether a training pair is short enough. Raises DataError where it has to be."""
        sides = (("source", source, self.recipe.source), ("target", target, self.recipe.target))
        for side, ids, section in sides:
            if section.longest and len(ids) > section.longest:
                if self.recipe.batching.too_long == "leave-out":
                    return False
                raise DataError(
                    f"The training split of the data set {name!r} has a {side} of {len(ids)} "
                    f"symbols, and {side}.longest is {section.longest}; raise it, or set "
                    'batching.too_long = "leave-out".'
                )
        return True

    def _padded(self, pairs: Sequence[tuple[list[int], list[int]]]) -> Pairs:
        sources, targets = zip(*pairs, strict=True)
        return Pairs.of(sources, targets, start=self.start, end=self.end)


_INPUT = ("padding", "unknown")


@dataclass
class _Encoded:
    """Sources as ids, and every pair of one with a target that can be written."""

    sources: list[list[int]] = field(default_factory=list)
    pairs: list[tuple[list[int], list[int]]] = field(default_factory=list)


def _reading(
    side: str, section: SideSection, texts: Iterable[str], specials: Sequence[str]
) -> TextReading:
    cased = (text.lower() if section.lowercase else text for text in texts)
    vocabulary = learn_vocabulary(
        cased,
        section.of,
        section.size,
        specials=specials,
        least_count=section.least_count,
        where=side,
    )
    return TextReading(vocabulary, section.lowercase)


def _examples(dataset: Dataset[Any], split: str) -> list[Pair]:
    examples = dataset.split(split)
    if not examples or not all(isinstance(one, Pair) for one in examples):
        raise DataError(
            f"Transduction needs pairs of a source and its targets, but the {split} split of the "
            f"data set {dataset.name!r} has none; use the data set 'cmudict', or 'files' with "
            "parallel text or columns for source and targets."
        )
    return list(examples)


def _ends(vocabulary: Vocabulary) -> tuple[int, int]:
    if vocabulary.start is None or vocabulary.end is None:
        raise DataError("The output vocabulary of a transducer needs a start and an end symbol.")
    return vocabulary.start, vocabulary.end
