"""Figures of texts against values worked out by hand, and against the packages that define them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle.errors import DataError, InputError
from treadle.text_metrics import bleu, different, hits_at, rouge_l

SENTENCES = ["the cat sat on the mat .", "there is a cat .", "it 's red ,"]
SAID = ["the cat sat on a mat .", "there is cat", "red it 's"]
WORDS = st.lists(st.sampled_from(["cat", "Mat", "the", "2", "–"]), max_size=8).map(" ".join)


def test_bleu_is_that_of_sacrebleu_over_the_tokens_as_they_are() -> None:
    sacrebleu = pytest.importorskip("sacrebleu")
    references = [[s, "a cat"] if k else [s] for k, s in enumerate(SENTENCES)]
    streams = [SENTENCES, [SENTENCES[0], "a cat", "a cat"]]
    expected = sacrebleu.corpus_bleu(SAID, streams, tokenize="none", force=True).score
    assert bleu(SAID, references) == pytest.approx(expected)
    assert 0 < expected < 100
    assert bleu(SENTENCES, references) == pytest.approx(100)
    # A tokenizer would take the comma off, and both would be alike.
    assert bleu(["the red cat is , here"], [["the red cat is, here"]]) < 100


def test_without_sacrebleu_bleu_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "sacrebleu.metrics.bleu", None)
    with pytest.raises(DataError, match=r"pip install 'treadle\[bleu\]'"):
        bleu(["a"], [["a"]])


def test_rouge_l_is_the_f1_of_the_longest_common_subsequence() -> None:
    # Of 6 words each "the cat sat on mat" is common to both: 5 / 6.
    assert rouge_l(SAID[:1], [SENTENCES[:1]]) == pytest.approx(100 * 5 / 6)
    # As rouge-score 0.1.2 says it: RougeScorer(["rougeL"]).score(target, prediction).
    assert rouge_l(
        ["A Fast-array facility!"], [["fast array facility to Python"]]
    ) == pytest.approx(66.66666666666666)
    assert rouge_l(["x", "a b"], [["y"], ["c", "b"]]) == pytest.approx((0 + 200 / 3) / 2)
    assert rouge_l([""], [["a"]]) == rouge_l(["–"], [["–"]]) == 0.0


@given(predicted=WORDS, right=WORDS)
def test_rouge_l_agrees_with_the_package(predicted: str, right: str) -> None:
    package = pytest.importorskip("rouge_score.rouge_scorer", reason="rouge-score is not here")
    [expected] = package.RougeScorer(["rougeL"]).score(right, predicted).values()
    assert rouge_l([predicted], [[right]]) == pytest.approx(100 * expected.fmeasure)


@given(st.lists(st.lists(st.integers(0, 3), min_size=3, max_size=3), min_size=1, max_size=5))
def test_hits_are_those_that_fewer_wrong_answers_reach(rows: list[list[int]]) -> None:
    scores = np.array(rows, np.float64)
    right = [[0, 2] for _ in rows]
    hits = sum(row[1] < max(row[0], row[2]) for row in rows)
    assert hits_at(scores, right, most=1) == 100 * hits / len(rows)
    assert hits_at(scores, right, most=2) == 100.0


def test_an_answer_that_cannot_be_written_is_no_hit_by_a_tie() -> None:
    scores = np.full((1, 12), -np.inf)
    assert hits_at(scores, [[3]]) == 0.0
    scores[0, 3] = -9.0
    assert hits_at(scores, [[3]]) == 100.0


def test_different_texts_and_where_each_is() -> None:
    assert different([["a", "b"], ["b", "c"], ["a"]]) == (["a", "b", "c"], [[0, 1], [1, 2], [0]])


def test_what_they_refuse() -> None:
    unfit: list[tuple[list[str], list[list[str]]]] = [([], []), (["a"], []), (["a"], [[]])]
    for figure in (bleu, rouge_l):
        for predictions, references in unfit:
            with pytest.raises(InputError, match="one right text or more for each"):
                figure(predictions, references)
    with pytest.raises(InputError, match=r"got \[1, 2\] for 2 questions"):
        hits_at(np.zeros((1, 2)), [[0], [1]])
    with pytest.raises(InputError, match="a right answer or more"):
        hits_at(np.zeros((1, 2)), [[]])
