"""Rows that are not active: as if the step had not been made for them, and for them alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.runtime.tiny_bundles import CHARACTERS, FEATURES
from treadle.errors import InputError

if TYPE_CHECKING:
    from treadle.model import Model

SYMBOLS = len(CHARACTERS)
ROWS = 3


@given(st.lists(st.tuples(*[st.one_of(st.none(), st.integers(0, SYMBOLS - 1))] * ROWS), max_size=9))
def test_each_row_is_what_it_would_be_alone(characters: Model, schedule: list[Any]) -> None:
    """A symbol that a row reads, or None where it does not step."""
    together = characters.stream(batch_size=ROWS)
    alone = [characters.stream() for _ in range(ROWS)]
    for reads in schedule:
        active = np.array([symbol is not None for symbol in reads])
        x = np.array([-1 if symbol is None else symbol for symbol in reads])
        outputs = together.step(x, active=active)
        for row, symbol in enumerate(reads):
            expected = 0 if symbol is None else alone[row].step(np.array([symbol]))[0]
            np.testing.assert_array_equal(outputs[row], np.broadcast_to(expected, SYMBOLS))
    for row, stream in enumerate(alone):
        assert together.steps[row] == stream.steps[0]
        for name, array in stream.state().items():
            np.testing.assert_array_equal(together.state()[name][row], array[0])


def test_what_an_idle_row_holds_is_not_looked_at(features: Model) -> None:
    x = np.ones((2, FEATURES), np.float32)
    plain, masked = (features.stream(batch_size=2) for _ in range(2))
    expected = plain.step(x)
    x[1] = np.nan
    outputs = masked.step(x, active=[True, False], copy=False)
    np.testing.assert_array_equal(outputs[0], expected[0])
    assert not outputs[1].any()
    with pytest.raises(InputError, match="finite numbers"):
        masked.step(x, active=[True, True])


def test_steps_with_idle_rows_can_be_taken_back(characters: Model) -> None:
    stream = characters.stream(batch_size=2, history=4)
    moments = [stream.snapshot().to_bytes()]
    for active in ([True, False], [False, False], [False, True], [True, True]):
        stream.step(np.array([3, 4]), active=active)
        moments.append(stream.snapshot().to_bytes())
    for earlier in moments[-2::-1]:
        stream.rewind(1)
        assert stream.snapshot().to_bytes() == earlier


@pytest.mark.parametrize("active", [[True], [1, 0], [[True, False]], True, "ab"])
def test_a_mask_that_is_none(characters: Model, active: Any) -> None:
    stream = characters.stream(batch_size=2)
    before = stream.snapshot().to_bytes()
    with pytest.raises(InputError, match=r"active should be bool \[2\]"):
        stream.step(np.array([1, 2]), active=active)
    assert stream.snapshot().to_bytes() == before
