"""int8 and int8-block: a row gives the same bits alone, in company, by steps and in chunks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.export.small_models import (
    KINDS,
    SOURCES,
    TARGETS,
    as_feeds,
    encoded,
    engine,
    lowered,
    next_state,
)
from treadle.ladder import compare
from treadle_export.engine import Engine
from treadle_export.passes.active_mask import with_active_mask
from treadle_export.quantization.precision import PRECISIONS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from treadle_export.engine import Arrays

EXACT = tuple(name for name, precision in PRECISIONS.items() if precision.invariant)


def row_of(arrays: Arrays, row: int) -> Arrays:
    return {name: array[row : row + 1] for name, array in arrays.items()}


def in_chunks(
    kind: str,
    precision: str,
    tokens: NDArray[np.int64],
    cut: int,
    context: Arrays,
    state: Arrays,
) -> tuple[NDArray[np.float32], Arrays]:
    """A lone row in calls of at most `cut` steps: its logits [T, V] and its last state."""
    logits = []
    for first in range(0, len(tokens), cut):
        chunk = tokens[None, first : first + cut]
        feeds = {"token": chunk, "lengths": np.array([chunk.shape[1]]), **context}
        result = engine(kind, precision, "sequence").run({**feeds, **as_feeds(state)})
        logits.append(result["logits"][0])
        state = next_state(result)
    return np.concatenate(logits), state


@pytest.mark.parametrize("precision", EXACT)
@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=8)
@given(data=st.data())
def test_a_row_feels_neither_company_nor_chunks(
    kind: str, precision: str, data: st.DataObject
) -> None:
    lengths = data.draw(st.lists(st.integers(1, 7), min_size=2, max_size=6))
    random = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    reach = data.draw(st.lists(st.integers(1, 70), min_size=len(lengths), max_size=len(lengths)))
    sources = [random.integers(1, SOURCES, length).tolist() for length in reach]
    tokens = random.integers(0, TARGETS, (len(lengths), max(lengths)))

    context, state = encoded(kind, precision, sources)
    feeds = {"token": tokens, "lengths": np.array(lengths), **context, **as_feeds(state)}
    threads = data.draw(st.sampled_from((1, 2)))  # those of the batch; a row alone has one
    together = engine(kind, precision, "sequence", threads).run(feeds)
    stepped = engine(kind, precision, "step", threads).run(
        {"token": tokens[:, 0], **context, **as_feeds(state)}
    )
    np.testing.assert_array_equal(stepped["logits"], together["logits"][:, 0])
    cut = data.draw(st.integers(1, 6))
    for row, length in enumerate(lengths):
        context, state = encoded(kind, precision, sources[row : row + 1])
        logits, final = in_chunks(kind, precision, tokens[row, :length], cut, context, state)
        np.testing.assert_array_equal(logits, together["logits"][row, :length])
        for name, array in row_of(next_state(together), row).items():
            np.testing.assert_array_equal(final[name], array)
        for step in range(length):
            token = tokens[row : row + 1, step]
            result = engine(kind, precision, "step").run(
                {"token": token, **context, **as_feeds(state)}
            )
            np.testing.assert_array_equal(result["logits"][0], together["logits"][row, step])
            state = next_state(result)
        for name, array in row_of(next_state(together), row).items():
            np.testing.assert_array_equal(state[name], array)
        assert not together["logits"][row, length:].any()


@pytest.mark.parametrize("kind", KINDS)
def test_an_inactive_row_keeps_its_state(kind: str) -> None:
    context, state = encoded(kind, "int8", [[5, 6, 7], [8, 9]])
    random = np.random.default_rng(1)
    state = {n: random.uniform(-1, 1, a.shape).astype(np.float32) for n, a in state.items()}
    feeds = {"token": np.array([4, 5]), **context, **as_feeds(state)}
    step = Engine(with_active_mask(lowered(kind, "int8")).graphs["step"].model)
    default = step.run(feeds)
    explicit = step.run({**feeds, "active": np.array([True, True])})
    masked = step.run({**feeds, "active": np.array([True, False])})
    for name in state:
        moved = next_state(default)[name]
        np.testing.assert_array_equal(moved, next_state(explicit)[name])
        np.testing.assert_array_equal(next_state(masked)[name][0], moved[0])
        np.testing.assert_array_equal(next_state(masked)[name][1], state[name][1])
        assert (moved[1] != state[name][1]).any()


@pytest.mark.parametrize("kind", KINDS)
def test_int8_stays_near_float32(kind: str) -> None:
    random = np.random.default_rng(2)
    tokens = random.integers(0, TARGETS, 64)
    sources = [random.integers(1, SOURCES, 9).tolist()] * 64
    context, state = encoded(kind, "float32", sources)
    state = {n: random.uniform(-1, 1, a.shape).astype(np.float32) for n, a in state.items()}
    feeds = {"token": tokens, **context, **as_feeds(state)}
    expected = engine(kind, "float32", "step").run(feeds)
    actual = engine(kind, "int8", "step").run(feeds)
    rung = compare(
        "quantized",
        "int8",
        states=[(expected[name], actual[name]) for name in expected if name != "logits"],
        outputs=[(expected["logits"], actual["logits"])],
    )
    assert rung.first_step is None
    assert rung.max_abs > 0  # or nothing was quantized
