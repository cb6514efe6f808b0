"""The quick check of a step's values, and the slow one that finds the words, agree."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle.arrays import Reading, check_count, check_rows
from treadle.errors import InputError

IDS = Reading("token", np.dtype(np.int64), (), 11)
NUMBERS = Reading("x", np.dtype(np.float32), (2,), None)


def agree(reading: Reading, values: Any) -> bool:
    """Whether the values are valid, by both checks."""
    quick = reading.quick_check(values)()
    try:
        reading.check_values(values)
    except InputError:
        assert not quick
    else:
        assert quick
    return quick


@given(st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(-1, 12), min_size=1, max_size=4))
def test_ids(ids: list[int]) -> None:
    assert agree(IDS, np.array(ids, np.int64)) == all(0 <= i < 11 for i in ids)


@given(st.lists(st.tuples(st.floats(width=32), st.floats(width=32)), min_size=1, max_size=4))
def test_numbers(rows: list[tuple[float, float]]) -> None:
    agree(NUMBERS, np.array(rows, np.float32))


def test_the_quick_check_follows_its_buffer() -> None:
    buffer = np.zeros((3, 2), np.float32)
    valid = NUMBERS.quick_check(buffer)
    assert valid()
    buffer[2, 1] = np.nan
    assert not valid()
    buffer[2, 1] = 3e38
    assert valid()


def test_ragged_rows_are_stacked() -> None:
    stacked, lengths = IDS.stacked([[1, 2, 3], [], np.array([4])])
    assert stacked.tolist() == [[1, 2, 3], [0, 0, 0], [4, 0, 0]]
    assert lengths.tolist() == [3, 0, 1]
    stacked, lengths = NUMBERS.stacked([np.ones((2, 2), np.float32), np.ones((1, 2), np.float32)])
    assert stacked.shape == (2, 2, 2)
    assert not stacked[1, 1].any()


@pytest.mark.parametrize(
    ("value", "least"), [(0, 1), (-1, 0), (1.0, 0), (True, 0), ("1", 0), (None, 0)]
)
def test_counts_that_are_none(value: object, least: int) -> None:
    with pytest.raises(InputError, match=f"n should be an integer of at least {least}, got"):
        check_count(value, "n", least)


def test_counts_and_rows() -> None:
    assert check_count(np.int64(3), "n", 0) == 3
    assert check_rows([], 2).tolist() == []
    assert check_rows(np.array([1, 0, 1], np.uint8), 2).tolist() == [1, 0, 1]
    assert check_rows(range(2), 2).dtype == np.int64
