"""Judges quantizations of one model by the same real data, symbol by symbol."""

import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import treadle
from treadle.evaluation import symbol_nats
from treadle_export.bundle import SUFFIX, assemble, finished, write_bundle
from treadle_export.quantization.precision import Precision
from treadle_export.quantization.quantizer import Gates, Quantizer

SPLIT = "validation"
"""Of the data: what is chosen here is still to be proven on the test split."""

DEFAULT_EXAMPLES = {
    "classification": 1_000,
    "forecasting": 5_000,
    "generation": 200,
    "language-modelling": 20_000,
    "speech-transduction": 200,
    "tagging": 1_000,
    "transduction": 500,
}
"""Sequences, frames, symbols of text, utterances, sentences, or words, as the task has them."""

FLOAT32 = {"*": "float32"}
"""The exceptions that leave every weight in float32, in graphs as a precision lowers them."""


class Judge:
    """Teacher-forced negative log-likelihood on the validation split.

    quantizer: the model; limit: examples that are read, a default for the task where None.
    """

    def __init__(self, quantizer: Quantizer, limit: int | None = None) -> None:
        self.quantizer = quantizer
        task = quantizer.model.task
        self.limit = DEFAULT_EXAMPLES.get(task) if limit is None else limit

    def nats(
        self, precision: Precision, exceptions: Mapping[str, str], gates: Gates | None = None
    ) -> NDArray[np.float64]:
        """Nats of every symbol [N], through the runtime, as a bundle would give them.

        Raises:
            DataError: the data are missing or not those of the training.
        """
        model = self.quantizer.lowered(precision, exceptions, gates)
        parts = assemble(model, self.quantizer.description, precision.name, {})
        with tempfile.TemporaryDirectory(prefix="treadle-") as scratch:
            path = Path(scratch) / f"candidate{SUFFIX}"
            write_bundle(path, finished(parts, {}))
            return self.nats_of(path)

    def nats_of(self, bundle: Path) -> NDArray[np.float64]:
        """As `nats`, for a bundle that is written already."""
        with treadle.load(bundle, unknown="symbol") as model:
            return symbol_nats(model, split=SPLIT, limit=self.limit)
