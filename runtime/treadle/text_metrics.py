"""Figures of texts that are held against right ones: BLEU, ROUGE-L, hits among the likeliest."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from treadle.errors import DataError, InputError
from treadle.metrics import word_error_rate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Texts = Sequence[str]
    References = Sequence[Sequence[str]]

HITS = 10
_NO_WORD = re.compile(r"[^a-z0-9]+")


def bleu(predictions: Texts, references: References) -> float:
    """BLEU of a corpus whose tokens have spaces between, from 0 to 100, by sacrebleu.

    Papineni et al., "BLEU: a method for automatic evaluation of machine translation", 2002; up to 4
    tokens together, exponential smoothing, no tokenization of its own. references[i]: every right
    text for predictions[i]. Raises DataError where sacrebleu is not installed, InputError for no
    texts or unequal counts.
    """
    _check(predictions, references)
    try:
        from sacrebleu.metrics.bleu import BLEU
    except ImportError as error:
        raise DataError(
            f"the metric bleu needs sacrebleu, which cannot be imported ({error}): "
            "pip install 'treadle[bleu]'"
        ) from error
    most = max(map(len, references))
    # A text with fewer references than another repeats its first, which changes no count of it.
    streams = [[r[k] if k < len(r) else r[0] for r in references] for k in range(most)]
    scorer = BLEU(tokenize="none", force=True)
    return float(scorer.corpus_score(list(predictions), streams).score)


def rouge_l(predictions: Texts, references: References) -> float:
    """ROUGE-L, in percent: the mean over texts of F1 of the longest common subsequence of words.

    Lin, "ROUGE: a package for automatic evaluation of summaries", 2004. Words are runs of a-z and
    0-9 in lower case, without stemming, and of several references the best counts, as in the
    package rouge-score. Raises InputError for no texts or unequal counts.
    """
    _check(predictions, references)
    best = [
        max(_rouge(_words(predicted), _words(right)) for right in listed)
        for predicted, listed in zip(predictions, references, strict=True)
    ]
    return 100.0 * float(np.mean(best))


def hits_at(scores: NDArray[np.float64], right: Sequence[Sequence[int]], most: int = HITS) -> float:
    """Percentage of questions of which a right answer is among the `most` with the highest scores.

    scores [N questions, A answers]; right[i]: columns of the right answers of question i. An answer
    that scores as high as the right one comes before it. Raises InputError for other shapes, or a
    question without a right answer.
    """
    if scores.ndim != 2 or not len(right) or len(right) != len(scores) or not all(map(len, right)):
        raise InputError(
            "hits are counted over scores [questions, answers] and a right answer or more for each "
            f"question, got {list(scores.shape)} for {len(right)} questions"
        )
    hits = 0
    for row, columns in zip(scores, right, strict=True):
        wrong = np.delete(row, list(columns))
        hits += int(np.sum(wrong >= max(row[column] for column in columns)) < most)
    return 100.0 * hits / len(right)


def different(listed: References) -> tuple[list[str], list[list[int]]]:
    """All different texts in the order of their coming, and the places of each list's own."""
    places: dict[str, int] = {}
    right = [[places.setdefault(text, len(places)) for text in texts] for texts in listed]
    return list(places), right


TEXT_FIGURES: dict[str, Callable[[Texts, References], float]] = {
    "word_error_rate": word_error_rate,
    "bleu": bleu,
    "rouge_l": rouge_l,
}
"""Metric -> (what was answered, every right text of each) -> figure."""


def _check(predictions: Texts, references: References) -> None:
    if not predictions or len(predictions) != len(references) or not all(map(len, references)):
        raise InputError(
            "texts are compared with one right text or more for each, got "
            f"{len(predictions)} texts and {len(references)} lists of right ones"
        )


def _words(text: str) -> list[str]:
    return _NO_WORD.sub(" ", text.lower()).split()


def _rouge(predicted: Sequence[str], right: Sequence[str]) -> float:
    common = _longest_common(predicted, right)
    return 2.0 * common / (len(predicted) + len(right)) if common else 0.0


def _longest_common(first: Sequence[str], second: Sequence[str]) -> int:
    """The length of the longest common subsequence."""
    before = [0] * (len(second) + 1)
    for word in first:
        row = [0]
        for column, other in enumerate(second):
            row.append(before[column] + 1 if word == other else max(before[column + 1], row[-1]))
        before = row
    return before[-1]
