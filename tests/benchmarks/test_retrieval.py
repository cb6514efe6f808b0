"""Baselines of pairs: BM25 against its equation, and which figures a bundle stands beside."""

from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks.quality.retrieval import BM25, by_nearest, by_words

DOCUMENTS = ["The cat sat", "a dog, a dog and a cat", "birds"]


def test_bm25_is_its_equation() -> None:
    scores = BM25(DOCUMENTS).scores("Cat cat zebra")
    lengths = np.array([3, 8, 1])  # the comma is a word
    weight = math.log(1 + (3 - 2 + 0.5) / (2 + 0.5))
    norm = 1.2 * (0.25 + 0.75 * lengths / 4)
    expected = weight * np.array([1, 1, 0]) * 2.2 / (np.array([1, 1, 0]) + norm)
    assert scores == pytest.approx(expected)
    with pytest.raises(ValueError, match="at least one document"):
        BM25([])


def test_answers_are_found_by_words_or_by_the_nearest_question() -> None:
    assert by_words(["a cat"], DOCUMENTS).argmax(axis=1).tolist() == [1]
    known = [("where is the dog", ["in the garden"]), ("who are you", ["a machine"])]
    answers = ["her house", "I am a machine", "a garden"]
    scores = by_nearest(["is the dog here", "you"], answers, known, nearest=1)
    assert scores.argmax(axis=1).tolist() == [2, 1]
    assert scores[1, 0] == 0
