"""The figures against values worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle.errors import InputError
from treadle.metrics import (
    METRICS,
    accuracy,
    bits_per_character,
    edit_distance,
    macro_f1,
    nats_per_character,
    paired_rise,
    symbol_error_rate,
    word_error_rate,
)


def test_a_word_is_right_when_it_matches_any_listed_reference() -> None:
    predictions = [["T", "UW"], ["W", "AH"], [], ["B"]]
    references = [[["T", "UW"]], [["V", "AH"], ["W", "AH"]], [["X"]], [["B", "B"]]]
    assert word_error_rate(predictions, references) == 50.0


def test_the_word_error_rate_refuses_what_it_cannot_count() -> None:
    with pytest.raises(InputError, match="got 0 predictions for 0 words"):
        word_error_rate([], [])
    with pytest.raises(InputError, match="got 1 predictions for 2 words"):
        word_error_rate([["A"]], [[["A"]], [["B"]]])


def test_a_fair_coin_costs_one_bit() -> None:
    assert bits_per_character([math.log(2.0)] * 7) == pytest.approx(1.0, abs=1e-15)
    assert nats_per_character(np.array([1.0, 3.0], dtype=np.float32)) == 2.0


def test_the_mean_is_taken_in_float64() -> None:
    nats = np.full(4_000_000, 0.1, dtype=np.float32)
    assert nats_per_character(nats) == pytest.approx(float(np.float32(0.1)), rel=1e-12)


def test_no_characters_have_no_mean() -> None:
    with pytest.raises(InputError, match="at least one character"):
        bits_per_character([])


def test_every_metric_has_a_unit_and_a_direction() -> None:
    assert {m.name: m.unit for m in METRICS.values()} == {
        "accuracy": "%",
        "macro_f1": "%",
        "span_f1": "%",
        "mse": "variances",
        "mae": "deviations",
        "word_error_rate": "%",
        "bleu": "BLEU",
        "rouge_l": "%",
        "hits_at_10": "%",
        "symbol_error_rate": "%",
        "perplexity": "symbols",
        "nats_per_symbol": "nats/symbol",
        "bits_per_character": "bits/character",
        "nats_per_character": "nats/character",
    }
    better = {metric.name for metric in METRICS.values() if metric.higher_is_better}
    assert better == {"accuracy", "macro_f1", "span_f1", "bleu", "rouge_l", "hits_at_10"}


def test_a_rise_that_is_the_same_everywhere_is_certain() -> None:
    before = np.random.default_rng(1).exponential(2.0, 500)
    rise = paired_rise(before, before + 0.02)
    expected = 0.02 / before.mean()
    assert rise.relative == pytest.approx(expected)
    assert [rise.low, rise.high] == pytest.approx([expected, expected])


def test_the_interval_covers_the_true_rise_as_often_as_it_says() -> None:
    random = np.random.default_rng(2)
    before = random.exponential(2.0, 4000)
    # noise that neighbours share, as a hard passage of a text has it
    noises = [
        np.convolve(random.normal(0, 0.3, 4000), np.ones(10) / 10, "same") for _ in range(200)
    ]
    truth = 0.01 / before.mean()
    rises = [paired_rise(before, before + 0.01 + noise) for noise in noises]
    covered = np.mean([rise.low <= truth <= rise.high for rise in rises])
    assert 0.88 <= covered <= 0.99


def test_the_interval_of_few_examples_covers_as_often_as_it_says() -> None:
    random, covered = np.random.default_rng(3), []
    before = random.exponential(2.0, 300)
    for _ in range(400):
        rise = paired_rise(before, before + 0.01 + random.normal(0, 0.3, 300))
        covered.append(rise.low <= 0.01 / before.mean() <= rise.high)
    assert 0.92 <= np.mean(covered) <= 0.98


def test_too_few_symbols_for_an_interval() -> None:
    rise = paired_rise(np.ones(19), np.full(19, 1.5))
    assert (rise.relative, rise.low, rise.high) == (0.5, -math.inf, math.inf)


def test_a_rise_is_over_the_same_symbols() -> None:
    for before, after in (([], []), ([1.0], [1.0, 2.0]), ([[1.0]], [[1.0]])):
        with pytest.raises(InputError, match="the same symbols before and after"):
            paired_rise(before, after)


def test_labels_by_hand() -> None:
    right = ["a", "a", "a", "b", "c", "c"]
    said = ["a", "a", "b", "b", "c", "d"]
    assert accuracy(said, right) == pytest.approx(100 * 4 / 6)
    # a: 4/5, b: 2/3, c: 2/3, d, which is never right: 0
    assert macro_f1(said, right) == pytest.approx(100 * (4 / 5 + 2 / 3 + 2 / 3 + 0) / 4)
    for figure in (accuracy, macro_f1):
        assert figure(right, right) == 100
        assert METRICS[figure.__name__].higher_is_better
        with pytest.raises(InputError, match="got 1 predictions for 2 examples"):
            figure(["a"], ["a", "b"])
        with pytest.raises(InputError, match="got 0 predictions for 0 examples"):
            figure([], [])


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40))
def test_labels_agree_with_torchmetrics(pairs: list[tuple[int, int]]) -> None:
    functional = pytest.importorskip("torchmetrics.functional", reason="needs torchmetrics")
    torch = pytest.importorskip("torch", reason="needs PyTorch")
    said, right = (torch.tensor(column) for column in zip(*pairs, strict=True))
    ours = [list(map(str, column.tolist())) for column in (said, right)]
    expected = functional.accuracy(said, right, "multiclass", num_classes=4, average="micro")
    assert accuracy(*ours) == pytest.approx(100 * float(expected), abs=1e-4)
    present = sorted({*said.tolist(), *right.tolist()})
    each = functional.f1_score(said, right, "multiclass", num_classes=4, average="none")
    assert macro_f1(*ours) == pytest.approx(100 * float(each[present].mean()), abs=1e-4)


@pytest.mark.parametrize(
    ("said", "right", "expected"),
    [
        ([], [], 0),
        ("kitten", "sitting", 3),
        ("", "abc", 3),
        ("abc", "", 3),
        ("abc", "abc", 0),
        ("ab", "ba", 2),
        ("aab", "ab", 1),
    ],
)
def test_the_edit_distance_counts_changes(said: str, right: str, expected: int) -> None:
    assert edit_distance(said, right) == expected == edit_distance(right, said)


def test_the_symbol_error_rate_is_over_all_symbols_together() -> None:
    assert symbol_error_rate(["ab", "x"], ["abcd", "y"]) == pytest.approx(60.0)
    assert symbol_error_rate(["abc"], ["a"]) == pytest.approx(200.0)
    for said, right in (([], []), (["a"], [""]), (["a", "b"], ["a"])):
        with pytest.raises(InputError, match="one prediction for each reference"):
            symbol_error_rate(said, right)
