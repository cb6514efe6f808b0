"""Answers found by the words that questions share: BM25, to compare models with.

Robertson & Zaragoza, "The probabilistic relevance framework: BM25 and beyond", 2009, equation 3.15,
with k1 = 1.2 and b = 0.75.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from treadle.vocabulary import words_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

K1, B = 1.2, 0.75


class BM25:
    """How well documents fit a query. Raises ValueError for no documents."""

    def __init__(self, documents: Sequence[str]) -> None:
        if not documents:
            raise ValueError("expected at least one document, got none")
        self._counts = [Counter(words_of(text)) for text in documents]
        lengths = np.array([counts.total() for counts in self._counts], np.float64)
        self._norms = K1 * (1 - B + B * lengths / max(lengths.mean(), 1.0))
        found = Counter(word for counts in self._counts for word in counts)
        total = len(documents)
        self._weights = {
            word: math.log(1 + (total - count + 0.5) / (count + 0.5))
            for word, count in found.items()
        }

    def scores(self, query: str) -> NDArray[np.float64]:
        """A score for each document, 0 or more; those that share no word with the query have 0."""
        made = np.zeros(len(self._counts))
        for word in set(words_of(query)):
            if word in self._weights:
                counts = np.array([counts[word] for counts in self._counts], np.float64)
                made += self._weights[word] * counts * (K1 + 1) / (counts + self._norms)
        return made


def by_words(questions: Sequence[str], answers: Sequence[str]) -> NDArray[np.float64]:
    """Scores [questions, answers] of the words that a question shares with an answer."""
    index = BM25(answers)
    return np.stack([index.scores(question) for question in questions])


def by_nearest(
    questions: Sequence[str],
    answers: Sequence[str],
    known: Sequence[tuple[str, Sequence[str]]],
    nearest: int = 10,
) -> NDArray[np.float64]:
    """Scores [questions, answers] by the answers of the `nearest` known questions.

    known: questions and their answers. An answer has the sum over the nearest of how near each is,
    times how well the answer fits what was answered there.
    """
    index = BM25([question for question, _ in known])
    fits = by_words([" ".join(said) for _, said in known], answers)
    made = []
    for question in questions:
        near = index.scores(question)
        best = np.argsort(-near, kind="stable")[:nearest]
        made.append(near[best] @ fits[best])
    return np.stack(made)
