"""Speech transduction: utterances as frames, and the symbols that were said."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch

from treadle.data import Dataset, Frames
from treadle.decoding.alignments import fewest_steps
from treadle.errors import DataError
from treadle.stacking import stacked
from treadle.vocabulary import Vocabulary
from treadle_train.batching.labelled import LabelledBatch, TaggedRows
from treadle_train.batching.rows import RowBatches, by_length
from treadle_train.modules.speech_transduction import SpeechTransducerModule
from treadle_train.networks.build import build_speech_transducer
from treadle_train.recipe import SpeechTransducerRecipe
from treadle_train.tasks.task import Task

BLANK = "<blank>"
VALIDATION_BATCH = 64


class SpeechTransduction(Task):
    """Every example is frames of numbers, and a transcript: symbols without times.

    One vocabulary, "output": the blank, then the symbols of the training split, sorted. Raises
    DataError for data that are no frames with symbols, frames of another size, a symbol that
    training has not seen, and with CTC a transcript with too few frames for any alignment.
    """

    def __init__(self, recipe: SpeechTransducerRecipe, dataset: Dataset[Any]) -> None:
        self.recipe = recipe
        training = _examples(dataset, "train")
        said = [example.symbols or () for example in training]
        self.vocabularies = {"output": Vocabulary.build(said, "symbols", padding=BLANK)}
        self.training = self._rows(training, "train")
        limit = recipe.training.validation_limit or None
        self.validation = self._rows(_examples(dataset, "validation")[:limit], "validation")

    def steps_per_epoch(self) -> int:
        """Utterances over batch size, rounded up."""
        return len(self._batches(0, 0))

    def new_module(self) -> SpeechTransducerModule:
        """The recipe's transducer with its loss; frames are normalized by the training split."""
        network = build_speech_transducer(self.recipe, self.vocabularies)
        frames = np.concatenate([np.asarray(row) for row in self.training.rows])
        network.normalization.measure(torch.from_numpy(frames))
        steps = self.steps_per_epoch() * self.recipe.training.epochs
        return SpeechTransducerModule(network, self.recipe, steps)

    def train_batches(self, epoch: int, first: int) -> Iterable[LabelledBatch]:
        """Bucketed batches of all utterances."""
        return self._batches(epoch, first)

    def validation_batches(self) -> list[LabelledBatch]:
        """Utterances of similar length together."""
        return by_length(self.validation, VALIDATION_BATCH)

    def _batches(self, epoch: int, first: int) -> RowBatches[LabelledBatch]:
        batching = self.recipe.batching
        return RowBatches(
            examples=self.training,
            batch_size=batching.batch_size,
            window=batching.window,
            seed=self.recipe.training.seed,
            epoch=epoch,
            first=first,
        )

    def _rows(self, examples: Sequence[Frames], split: str) -> TaggedRows:
        known = {name: index for index, name in enumerate(self.vocabularies["output"].symbols)}
        rows, said = [], []
        for index, example in enumerate(examples):
            where, symbols = f"Example {index} of the {split} split", example.symbols or ()
            features = self.recipe.network.features
            if example.values.shape[1] != features:
                raise DataError(
                    f"{where} should be frames of {features} numbers, [time, {features}], got "
                    f"{list(example.values.shape)}; set network.features to what it has."
                )
            if unseen := set(symbols) - set(known):
                raise DataError(
                    f"{where} has the symbol {min(unseen)!r}, which no example of the training "
                    f"split has ({', '.join(known)}); add some there, or leave it out."
                )
            row = stacked(example.values, self.recipe.network.frames)
            self._check_alignment(where, len(row), symbols)
            rows.append(row)
            said.append(np.array([known[symbol] for symbol in symbols], np.int64))
        return TaggedRows(rows, said)

    def _check_alignment(self, where: str, steps: int, symbols: Sequence[str]) -> None:
        """Raise DataError for a transcript that CTC cannot spread over `steps` steps."""
        if self.recipe.network.kind != "ctc":
            return
        needed = fewest_steps(symbols)
        if needed > steps:
            raise DataError(
                f"{where} has {len(symbols)} symbols, for which CTC needs {needed} steps, but its "
                f"frames make {steps}; lower network.frames, use network.kind = 'rnn-t', or leave "
                "it out."
            )


def _examples(dataset: Dataset[Any], split: str) -> list[Frames]:
    """The examples of a split. Raises DataError for none, and for those of another kind."""
    examples = dataset.split(split)
    fits = isinstance(examples, list) and all(
        isinstance(one, Frames) and one.symbols for one in examples
    )
    if not fits or not examples:
        raise DataError(
            f"Speech transduction needs frames with symbols, but the {split} split of the data set "
            f"{dataset.name!r} has none, or some without; use the data set 'connected-digits', or "
            "'files' with frames and symbols."
        )
    return list(examples)
