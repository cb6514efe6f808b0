"""Tagging: sentences with a tag for every token."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch

from treadle.data import Dataset, Tagged
from treadle.errors import DataError, InputError
from treadle.spans import OUTSIDE, forbidden_moves, spans_of
from treadle.tokens import TokenReading, normalized
from treadle.vocabulary import Vocabulary
from treadle_train.batching.labelled import LabelledBatch, TaggedRows
from treadle_train.batching.rows import RowBatches, by_length
from treadle_train.embeddings.word_vectors import joining_words, open_word_vectors
from treadle_train.modules.held import HeldEntries
from treadle_train.modules.tagging import TaggerModule
from treadle_train.networks.build import build_tagger
from treadle_train.networks.crf import ConditionalRandomField
from treadle_train.recipe import TaggerRecipe
from treadle_train.tasks.task import Task

VALIDATION_BATCH = 128
PADDING, UNKNOWN = "<padding>", "<unknown>"


class Tagging(Task):
    """Every example is a list of tokens, and a tag for each.

    Vocabularies, both of the training split: "tags", sorted, and "input" of tokens, with padding 0
    and an unknown symbol. Raises DataError for data that are no tagged sentences, one without
    tokens, fewer than two tags, a tag that training has not seen, and where spans are counted a tag
    that is not BIO.
    """

    def __init__(self, recipe: TaggerRecipe, dataset: Dataset[Any]) -> None:
        self.recipe = recipe
        training = _examples(dataset, "train")
        tags = sorted({tag for example in training for tag in example.tags})
        if len(tags) < 2:
            raise DataError(
                f"Tagging needs at least two tags to tell apart, but all of the training split of "
                f"the data set {dataset.name!r} is {tags[0]!r}; add examples of another."
            )
        if recipe.metric == "span_f1":
            _check_bio(tags)
        if recipe.training.outside_cost and OUTSIDE not in tags:
            raise DataError(
                f"training.outside_cost is for tags of spans, where {OUTSIDE!r} is outside of all, "
                f"but the tags are {', '.join(tags)}; leave it out."
            )
        tokens = [token for example in training for token in example.tokens]
        counts = Counter(normalized(tokens, lowercase=recipe.batching.lowercase))
        vocabulary = self._vocabulary(tokens, counts)
        self.vocabularies = {"tags": Vocabulary(tags, "symbols"), "input": vocabulary}
        size = recipe.network.embedding_size
        self.vectors = open_word_vectors(recipe.vectors, vocabulary, counts, size)
        self.training = self._rows(training, "train")
        limit = recipe.training.validation_limit or None
        validation = _examples(dataset, "validation")[:limit]
        self.validation = self._rows(validation, "validation")
        seen = [example.tags for example in [*training, *validation]]
        self.forbidden = forbidden_moves(tags, seen) if recipe.network.crf else None

    def steps_per_epoch(self) -> int:
        """Sentences over batch size, rounded up."""
        return len(self._batches(0, 0))

    def new_module(self) -> TaggerModule:
        """The recipe's tagger with its loss."""
        network = build_tagger(self.recipe, self.vocabularies)
        held = self.begin_with_vectors(network.embedding)
        if network.crf is not None:
            held += self._forbid(network.crf)
        steps = self.steps_per_epoch() * self.recipe.training.epochs
        module = TaggerModule(network, self.recipe, steps, self.vocabularies["tags"].symbols)
        module.held = held
        return module

    def _forbid(self, crf: ConditionalRandomField) -> list[HeldEntries]:
        """Forbid what no sequence of BIO tags has, for the loss as for the search."""
        if self.forbidden is None:
            return []
        moves, first = map(torch.from_numpy, self.forbidden)
        crf.forbid(moves, first)
        return [HeldEntries(crf.transitions, moves), HeldEntries(crf.first, first)]

    def train_batches(self, epoch: int, first: int) -> Iterable[LabelledBatch]:
        """Bucketed batches of all sentences."""
        return self._batches(epoch, first)

    def validation_batches(self) -> list[LabelledBatch]:
        """Sentences of similar length together."""
        return by_length(self.validation, VALIDATION_BATCH)

    def _batches(self, epoch: int, first: int) -> RowBatches[LabelledBatch]:
        batching = self.recipe.batching
        return RowBatches(
            examples=self.training,
            batch_size=batching.batch_size,
            window=batching.window,
            seed=self.recipe.training.seed,
            epoch=epoch,
            unknown_rate=batching.unknown_rate,
            unknown=self.vocabularies["input"].unknown or 0,
            first=first,
        )

    def _vocabulary(self, tokens: Sequence[str], counts: Counter[str]) -> Vocabulary:
        """The tokens that are frequent enough, and where characters are read all of them.

        Words of a file of vectors join; of these no single character that training has not seen,
        since nothing would teach what it looks like.
        """
        least = self.recipe.batching.least_count
        kept = {token for token, count in counts.items() if count >= least}
        kept |= {
            word
            for word in joining_words(self.recipe.vectors)
            if word not in (PADDING, UNKNOWN) and (len(word) > 1 or word in counts)
        }
        if not self.recipe.network.characters:
            return Vocabulary.build([kept], "symbols", padding=PADDING, unknown=UNKNOWN)
        # Characters first, so that a network's table of them ends where they do.
        letters = {character for token in [*tokens, *kept] for character in token}
        symbols = (PADDING, UNKNOWN, *sorted(letters), *sorted(kept - letters))
        return Vocabulary(symbols, "symbols", padding=0, unknown=1)

    def _rows(self, examples: Sequence[Tagged], split: str) -> TaggedRows:
        known = {tag: index for index, tag in enumerate(self.vocabularies["tags"].symbols)}
        batching, characters = self.recipe.batching, self.recipe.network.characters
        reading = TokenReading(self.vocabularies["input"], batching.lowercase, characters)
        rows, tags = [], []
        for index, example in enumerate(examples):
            if not example.tokens:
                raise DataError(
                    f"Example {index} of the {split} split has no tokens; leave it out."
                )
            if unseen := set(example.tags) - set(known):
                raise DataError(
                    f"Example {index} of the {split} split has the tag {min(unseen)!r}, which no "
                    f"example of the training split has ({', '.join(known)}); add some there, or "
                    "leave it out."
                )
            rows.append(reading.ids(example.tokens))
            tags.append(np.array([known[tag] for tag in example.tags], np.int64))
        return TaggedRows(rows, tags)


def _examples(dataset: Dataset[Any], split: str) -> list[Tagged]:
    """The examples of a split. Raises DataError for none, and for those of another kind."""
    examples = dataset.split(split)
    fits = isinstance(examples, list) and all(isinstance(one, Tagged) for one in examples)
    if not fits or not any(one.tokens for one in examples):
        raise DataError(
            f"Tagging needs sentences with a tag for each token, but the {split} split of the data "
            f"set {dataset.name!r} has none; use the data set 'ud-english-ewt', or one of CoNLL "
            "columns or CoNLL-U."
        )
    return list(examples)


def _check_bio(tags: Sequence[str]) -> None:
    try:
        spans_of(tags)
    except InputError as error:
        raise DataError(
            f"The metric span_f1 counts spans, so {error}; use metric = 'accuracy', or data with "
            "BIO tags."
        ) from error
