"""The figure a bundle is judged by, measured through the runtime on the data it names."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from treadle.data import open_dataset
from treadle.errors import BundleError, DataError, InputError
from treadle.judged import JUDGED
from treadle.metrics import METRICS
from treadle.searchable import usual_beam

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from treadle.data import Dataset
    from treadle.model import Model


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A figure with its unit and direction, over how many examples, in how many seconds.

    Examples are pairs for transduction, symbols for language modelling, frames for forecasting,
    whole inputs for classification, sentences for tagging, and sequences for generation. `beam` is
    how many hypotheses decoding kept, 1 for greedy search, None where nothing is decoded.
    """

    metric: str
    unit: str
    value: float
    higher_is_better: bool
    examples: int
    seconds: float
    beam: int | None = None

    @classmethod
    def of(
        cls, metric: str, value: float, *, examples: int, seconds: float, beam: int | None = None
    ) -> Evaluation:
        """The evaluation with the metric's unit and direction from the table of metrics."""
        known = METRICS[metric]
        return cls(metric, known.unit, value, known.higher_is_better, examples, seconds, beam)

    def to_json(self) -> dict[str, Any]:
        """The figures as one JSON object."""
        return asdict(self)


def evaluate(
    model: Model, *, split: str = "test", limit: int | None = None, beam: int | None = None
) -> Evaluation:
    """Measure a bundle on a split of its data set, or on the first `limit` examples of it.

    What is measured of a task stands in `judged.py`. Answers are found by a search of `beam`
    hypotheses (1 is greedy, None takes the bundle's), and for a pair any of its targets is right;
    text is scored with the state carried from its first symbol to its last, and so is a series,
    whose figure is the mean over horizons. Raises DataError when the data is missing or is not what
    the model was trained and judged on, BundleError when the manifest does not say what to measure,
    InputError for a limit or a beam below 1, or a beam where nothing is decoded.
    """
    metric, task = _metric(model.manifest.evaluation), model.manifest.task
    judged = JUDGED.get(task)
    decodes = judged is not None and metric in judged.decoded
    if beam is not None and (beam < 1 or (beam > 1 and not decodes)):
        raise InputError(
            f"expected a beam of 1 or more for a figure of what is decoded, and none for another, "
            f"got {beam} for the {metric} of the task {task}"
        )
    if decodes and beam is None:
        beam = usual_beam(model.manifest)
    examples = _examples(model, split, limit)
    if judged is None or metric not in judged.figures:
        raise BundleError(f"the metric {metric} does not fit the task {task}")
    began = time.perf_counter()
    value = judged.figures[metric](model, examples, beam)
    seconds = time.perf_counter() - began
    return Evaluation.of(
        metric, value, examples=len(examples), seconds=seconds, beam=beam if decodes else None
    )


def symbol_nats(
    model: Model, *, split: str = "test", limit: int | None = None
) -> NDArray[np.float64]:
    """Nats of each symbol [N], teacher-forced: two bundles can be compared symbol by symbol.

    Their mean is the negative log-likelihood, finer than an error rate to tell bundles apart.

    For transduction over the first target of each pair with its end symbol, for language modelling
    over the text. Raises what `evaluate` raises.
    """
    examples = _examples(model, split, limit)
    if model.manifest.task not in JUDGED:
        raise BundleError(f"no likelihood is known for the task {model.manifest.task}")
    return JUDGED[model.manifest.task].nats(model, examples)


def _examples(model: Model, split: str, limit: int | None) -> Any:
    evaluation = model.manifest.evaluation
    _metric(evaluation)
    if limit is not None and limit < 1:
        raise InputError(f"limit should be at least 1, got {limit}")
    dataset = open_dataset(evaluation["dataset"], evaluation.get("options"))
    check_digest(dataset, model.manifest.provenance.get("data"))
    return dataset.split(split)[:limit]


def check_digest(dataset: Dataset[Any], expected: object) -> None:
    """Raise DataError unless the data set is the one with the digest `expected`; None passes."""
    if expected is None or expected == dataset.digest:
        return
    hint = f"open the same edition of {dataset.source}"
    if dataset.source == "pydoc_data.topics":
        hint = "its text differs between Python releases, so use the release of the training"
    raise DataError(
        f"the data set {dataset.name} has the digest {dataset.digest} here, but this model was "
        f"trained and judged on {expected}: their test splits differ, and so would the figures; "
        f"{hint}"
    )


def _metric(evaluation: Mapping[str, Any]) -> str:
    if not isinstance(evaluation.get("dataset"), str) or evaluation.get("metric") not in METRICS:
        raise BundleError(
            "expected the manifest's evaluation to name a dataset and a metric out of "
            f"{', '.join(METRICS)}, got {dict(evaluation)}; export the bundle again from its run"
        )
    return str(evaluation["metric"])
