"""A model that reads whole sequences, on a tiny bundle whose answers numpy can say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import treadle
from tests.runtime.tiny_bundles import FEATURES, HIDDEN, write_whole_sequence
from treadle.errors import InputError, StateError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

WEIGHTS = np.linspace(-1, 1, FEATURES * HIDDEN, dtype=np.float32).reshape(FEATURES, HIDDEN)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_whole_sequence(tmp_path_factory.mktemp("whole"))


def expected(row: NDArray[np.float32]) -> NDArray[np.float32]:
    scores = (row + np.float32(2) * row[::-1]) @ WEIGHTS
    return scores.astype(np.float32)


@given(lengths=st.lists(st.integers(1, 7), min_size=1, max_size=6), seed=st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_each_row_is_read_as_if_alone(bundle: Path, lengths: list[int], seed: int) -> None:
    random = np.random.default_rng(seed)
    x = random.normal(size=(len(lengths), 8, FEATURES)).astype(np.float32)
    with treadle.load(bundle) as model:
        made = model.read(x, lengths)
    assert made._fields == ("scores", "largest")
    for row, length in enumerate(lengths):
        scores = expected(x[row, :length])
        assert np.abs(made.scores[row, :length] - scores).max() <= 1e-5
        assert not made.scores[row, length:].any()
        assert np.abs(made.largest[row] - scores.max(axis=0)).max() <= 1e-5


def test_the_given_array_is_left_alone(bundle: Path) -> None:
    x = np.ones((2, 4, FEATURES), np.float32)
    with treadle.load(bundle) as model:
        model.read(x, [4, 2])
    assert (x == 1).all()


def test_bad_input_never_reaches_the_engine(bundle: Path) -> None:
    x = np.ones((2, 4, FEATURES), np.float32)
    with treadle.load(bundle) as model:
        for bad, lengths in (
            (x[:0], None),
            (x[:, :0], None),
            (x, [4, 0]),
            (x, [4, 5]),
            (x, [4]),
            (x * np.nan, None),
            (x[0], None),
        ):
            with pytest.raises(InputError):
                model.read(bad, lengths)


def test_there_is_no_stream(bundle: Path) -> None:
    with treadle.load(bundle) as model:
        for call in (model.stream, model.resume, model.step):
            with pytest.raises(StateError, match=r"reads whole sequences.*call read\(x, lengths\)"):
                call()
