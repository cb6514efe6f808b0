"""What bucketing saves is counted exactly, written down and said."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.train.resuming import characters
from tests.train.tiny import tiny_transducer, tiny_words
from treadle_train.batching.bucketed import IGNORED, BucketedBatches, Pairs
from treadle_train.batching.padding import BucketingReport, Padding
from treadle_train.catalogue import load_recipe
from treadle_train.tasks.transduction import Transduction
from treadle_train.training import train

if TYPE_CHECKING:
    from pathlib import Path

WORDS = st.lists(st.tuples(st.integers(1, 9), st.integers(0, 9)), min_size=1, max_size=30)


def batches_of(sizes: list[tuple[int, int]], batch_size: int, window: int) -> BucketedBatches:
    sources, targets = [[3] * s for s, _ in sizes], [[4] * t for _, t in sizes]
    pairs = Pairs.of(sources, targets, start=1, end=2)
    return BucketedBatches(pairs, batch_size, window, seed=1, epoch=0)


@given(sizes=WORDS, batch_size=st.integers(1, 7), window=st.integers(0, 3))
def test_it_counts_what_the_batches_hold(
    sizes: list[tuple[int, int]], batch_size: int, window: int
) -> None:
    batches = batches_of(sizes, batch_size, window)
    counted = BucketingReport.of(batches).bucketed
    held = list(batches)
    assert counted.positions == sum(b.source.numel() + b.targets.numel() for b in held)
    assert counted.steps == sum(b.source.shape[1] + b.targets.shape[1] for b in held)
    there = sum(int(b.source_lengths.sum()) + int((b.targets != IGNORED).sum()) for b in held)
    assert counted.symbols == there
    assert 0 <= counted.share < 1


@given(sizes=WORDS, batch_size=st.integers(1, 7))
def test_random_batches_hold_the_same_pairs(sizes: list[tuple[int, int]], batch_size: int) -> None:
    batches = batches_of(sizes, batch_size, 0)
    rows = np.concatenate(batches.random_rows())
    assert sorted(rows.tolist()) == list(range(len(sizes)))
    assert sorted(map(len, batches.random_rows())) == sorted(map(len, batches.rows()))


def test_figures_by_hand() -> None:
    lengths = np.array([1, 4, 1, 4])
    sorted_rows, mixed = [np.array([0, 2]), np.array([1, 3])], [np.array([0, 1]), np.array([2, 3])]
    report = BucketingReport(Padding.of([lengths], sorted_rows), Padding.of([lengths], mixed))
    assert report.to_json() == {
        "padding": 0.0,
        "random_padding": 0.375,
        "steps": 5,
        "random_steps": 8,
        "steps_saved": 0.375,
    }
    assert str(report).endswith("would have 37.5%; it saves 37.5% of the steps")


@pytest.mark.usefixtures("tiny_data")
def test_a_run_holds_it_and_training_says_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tiny_transducer("training.epochs=1")
    train(recipe, tmp_path / "run", progress="lines")
    report = Transduction(recipe, tiny_words()).bucketing_report()  # type: ignore[arg-type]
    assert json.loads((tmp_path / "run" / "run.json").read_text())["bucketing"] == report.to_json()
    assert 0 < report.steps_saved < 1
    assert capsys.readouterr().err.startswith(f"{report}\n")


def test_lanes_have_nothing_to_pad(tmp_path: Path) -> None:
    recipe = load_recipe("characters", characters(tmp_path, "training.epochs=1"))
    train(recipe, tmp_path / "run", progress="none")
    assert "bucketing" not in json.loads((tmp_path / "run" / "run.json").read_text())
