"""The figures by which a task is judged, each with its unit and direction, in numpy alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from treadle.errors import InputError
from treadle.spans import score_spans

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import ArrayLike


@dataclass(frozen=True, slots=True)
class Metric:
    """What a figure is called, its unit, and whether more of it is better."""

    name: str
    unit: str
    higher_is_better: bool


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("accuracy", "%", higher_is_better=True),
        Metric("macro_f1", "%", higher_is_better=True),
        Metric("mse", "variances", higher_is_better=False),
        Metric("mae", "deviations", higher_is_better=False),
        Metric("span_f1", "%", higher_is_better=True),
        Metric("word_error_rate", "%", higher_is_better=False),
        Metric("bleu", "BLEU", higher_is_better=True),
        Metric("rouge_l", "%", higher_is_better=True),
        Metric("hits_at_10", "%", higher_is_better=True),
        Metric("symbol_error_rate", "%", higher_is_better=False),
        Metric("perplexity", "symbols", higher_is_better=False),
        Metric("nats_per_symbol", "nats/symbol", higher_is_better=False),
        Metric("bits_per_character", "bits/character", higher_is_better=False),
        Metric("nats_per_character", "nats/character", higher_is_better=False),
    )
}


def as_loss(metric: str, value: float) -> float:
    """`value` with the sign by which less is better; a name that is no metric's is a loss."""
    more = metric in METRICS and METRICS[metric].higher_is_better
    return -value if more else value


def word_error_rate(
    predictions: Sequence[Sequence[str]], references: Sequence[Iterable[Sequence[str]]]
) -> float:
    """Percentage of words whose prediction equals none of the word's listed references.

    `predictions[i]` is a sequence of symbols, `references[i]` every right answer for the same
    word. This is the whole-word rate that figures on pronunciation dictionaries use, not the
    edit distance of speech recognition. Raises InputError for no words or unequal counts.
    """
    if not predictions or len(predictions) != len(references):
        raise InputError(
            "the word error rate needs one prediction for each word, got "
            f"{len(predictions)} predictions for {len(references)} words"
        )
    wrong = sum(
        tuple(predicted) not in {tuple(reference) for reference in listed}
        for predicted, listed in zip(predictions, references, strict=True)
    )
    return 100.0 * wrong / len(predictions)


def symbol_error_rate(
    predictions: Sequence[Sequence[str]], references: Sequence[Sequence[str]]
) -> float:
    """Symbols to change, leave out or put in, over those of the references, in percent.

    The edit distances (Levenshtein 1966) of all pairs over the symbols of all references; more than
    100 where much is put in. Of words this is speech recognition's word error rate. Raises
    InputError for unequal counts and references without any symbol.
    """
    total = sum(map(len, references))
    if not total or len(predictions) != len(references):
        raise InputError(
            "the symbol error rate needs one prediction for each reference, and references with "
            f"symbols, got {len(predictions)} predictions for {len(references)} references of "
            f"{total} symbols"
        )
    pairs = zip(predictions, references, strict=True)
    return 100.0 * sum(edit_distance(said, right) for said, right in pairs) / total


def edit_distance(said: Sequence[str], right: Sequence[str]) -> int:
    """The fewest symbols that are changed, left out or put in to make `right` of `said`."""
    row = list(range(len(right) + 1))
    for count, symbol in enumerate(said, 1):
        above, row = row, [count]
        for place, expected in enumerate(right):
            changed = above[place] + (symbol != expected)
            row.append(min(changed, above[place + 1] + 1, row[place] + 1))
    return row[-1]


def accuracy(predictions: Sequence[str], labels: Sequence[str]) -> float:
    """Percentage of examples whose predicted label is the right one.

    Raises InputError for no examples or unequal counts.
    """
    _check_labels(predictions, labels)
    return 100.0 * float(np.mean(np.asarray(predictions) == np.asarray(labels)))


def macro_f1(predictions: Sequence[str], labels: Sequence[str]) -> float:
    """The mean over labels of F1 = 2 TP / (2 TP + FP + FN), in percent: rare labels count as much.

    Labels are those that are right or predicted anywhere. Raises InputError for no examples or
    unequal counts.
    """
    _check_labels(predictions, labels)
    said, right = np.asarray(predictions), np.asarray(labels)
    scores = []
    for label in np.union1d(said, right):
        hits = np.sum((said == label) & (right == label))
        scores.append(2.0 * hits / (np.sum(said == label) + np.sum(right == label)))
    return 100.0 * float(np.mean(scores))


def span_f1(found: Sequence[Sequence[str]], right: Sequence[Sequence[str]]) -> float:
    """F1 of spans that match in start, stop and kind, in percent: `spans.score_spans`.

    Raises InputError as it does.
    """
    return 100.0 * score_spans(found, right).f1


def _check_labels(predictions: Sequence[str], labels: Sequence[str]) -> None:
    if not len(predictions) or len(predictions) != len(labels):
        raise InputError(
            "labels are compared one for each example, got "
            f"{len(predictions)} predictions for {len(labels)} examples"
        )


def nats_per_symbol(nats: ArrayLike) -> float:
    """The mean; `nats` holds one value a symbol. Raises InputError when there are none."""
    return nats_per_character(nats)


def nats_per_character(nats: ArrayLike, characters: int | None = None) -> float:
    """Negative log-likelihood a character; `nats` holds one value a symbol.

    Of as many `characters`; by default each symbol is one. Summed in float64. Raises InputError
    when there are none.
    """
    values = np.asarray(nats, dtype=np.float64)
    count = values.size if characters is None else characters
    if values.size == 0 or count < 1:
        raise InputError("a mean over characters needs at least one character, got none")
    return float(values.sum() / count)


def bits_per_character(nats: ArrayLike, characters: int | None = None) -> float:
    """`nats_per_character` in bits: divided by ln 2."""
    return nats_per_character(nats, characters) / math.log(2.0)


def perplexity(nats: ArrayLike) -> float:
    """How many symbols are left open on average: exp of the mean; `nats` holds one value a symbol.

    Infinity where a float cannot hold it. Raises InputError when there are none.
    """
    try:
        return math.exp(nats_per_character(nats))
    except OverflowError:
        return math.inf


@dataclass(frozen=True, slots=True)
class Rise:
    """How much a mean rose, relative to the mean before; 95 % confidence from `low` to `high`."""

    relative: float
    low: float
    high: float


_BLOCK = 100
"""Symbols averaged into one observation: neighbours in a text are not independent of each other."""
_OBSERVATIONS = 20
"""As few are enough for an interval; where there are less, blocks are made smaller."""
_TWO_SIDED_95 = 1.96


def paired_rise(before: ArrayLike, after: ArrayLike) -> Rise:
    """The relative rise of a mean from `before` to `after`, both [N], of the same N symbols.

    The interval is that of the mean of differences over blocks of neighbours ("batch means", Law &
    Kelton, "Simulation modeling and analysis", 9.5.3), so what both find hard does not widen it.
    Few symbols make smaller blocks, and their mean is taken to follow Student's distribution; the
    interval has no ends (infinite) below twenty. Raises InputError for none or unequal counts.
    """
    first, second = np.asarray(before, np.float64), np.asarray(after, np.float64)
    if first.ndim != 1 or first.shape != second.shape or not first.size:
        raise InputError(
            f"expected the same symbols before and after, [N] each, got {list(first.shape)} and "
            f"{list(second.shape)}"
        )
    mean = first.mean()
    differences = second - first
    relative = float(differences.mean() / mean)
    size = min(_BLOCK, len(differences) // _OBSERVATIONS)
    if not size:
        return Rise(relative, -math.inf, math.inf)
    blocks = differences[: len(differences) // size * size].reshape(-1, size).mean(axis=1)
    z, free = _TWO_SIDED_95, len(blocks) - 1
    quantile = z + (z**3 + z) / (4 * free)  # of Student's t, to 0.01 where 19 or more are free
    half = float(quantile * blocks.std(ddof=1) / math.sqrt(len(blocks)) / mean)
    return Rise(relative, relative - half, relative + half)
