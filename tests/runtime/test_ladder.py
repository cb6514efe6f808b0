"""A rung passes where the table says, and says where it does not."""

import numpy as np
import pytest

from treadle.ladder import Rung, compare

STEPS = 200
EXPECTED = np.linspace(-1.0, 1.0, STEPS, dtype=np.float32)[:, None]


def moved(steps: list[int], by: float, *, attends: bool = True) -> Rung:
    """The rung of a quantized model whose outputs are `by` off at `steps`."""
    actual = EXPECTED.copy()
    actual[steps] += np.float32(by)
    return compare("quantized", "int4", outputs=[(EXPECTED, actual)], attends=attends)


def test_outputs_may_jump_at_one_step_in_a_hundred_and_the_rung_says_where() -> None:
    rung = moved([50, 150], 3.0)
    assert rung.passed
    assert rung.first_step == 50
    assert rung.max_abs == pytest.approx(3.0)


def test_without_attention_nothing_jumps() -> None:
    assert not moved([50], 3.0, attends=False).passed


def test_more_jumps_fail() -> None:
    assert not moved([50, 100, 150], 3.0).passed


@pytest.mark.parametrize("by", [np.nan, np.inf])
def test_an_output_that_is_not_finite_fails_wherever_it_stands(by: float) -> None:
    assert not moved([50], by).passed


def test_a_state_may_not_jump() -> None:
    actual = EXPECTED.copy()
    actual[50] += np.float32(3.0)
    assert not compare("quantized", "int4", states=[(EXPECTED, actual)], attends=True).passed


def test_outputs_of_other_rungs_may_not_jump() -> None:
    actual = EXPECTED.copy()
    actual[50] += np.float32(1e-3)
    assert not compare("lowered", "float32", outputs=[(EXPECTED, actual)], attends=True).passed


def test_the_rung_tells_of_the_tensor_that_is_nearest_to_its_bound() -> None:
    logits = EXPECTED * np.float32(100)  # held in proportion to their size, and farther off here
    states, outputs = (EXPECTED, EXPECTED + np.float32(1e-4)), (logits, logits + np.float32(1e-3))
    rung = compare("lowered", "float32", states=[states], outputs=[outputs])
    assert not rung.passed
    assert rung.max_abs == pytest.approx(1e-4, rel=1e-2)
    assert rung.tolerance == 1e-5
    exact = compare("chunk", "int8", states=[(EXPECTED, EXPECTED)], outputs=[outputs])
    assert not exact.passed
    assert exact.max_abs == pytest.approx(1e-3, rel=1e-2)
    assert exact.tolerance == 0.0


def test_states_without_gates_have_more_room_and_outputs_have_not() -> None:
    near, far = EXPECTED + np.float32(3e-5), EXPECTED + np.float32(6e-5)
    assert not compare("lowered", "float32", states=[(EXPECTED, near)]).passed
    assert compare("lowered", "float32", states=[(EXPECTED, near)], gated=False).passed
    assert not compare("lowered", "float32", states=[(EXPECTED, far)], gated=False).passed
    assert not compare("lowered", "float32", outputs=[(EXPECTED, far)], gated=False).passed
