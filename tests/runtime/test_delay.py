"""What steps read and answer where there is a delay: windows that overlap, and their alignment."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle.delay import Delay
from treadle.errors import BundleError

COUNTS = st.integers(0, 5)


def delayed(chunk: int, lookahead: int) -> Delay:
    return Delay(chunk - 1 + lookahead if chunk else lookahead, chunk)


@given(
    length=st.integers(1, 17),
    chunk=COUNTS,
    lookahead=COUNTS,
    columns=st.sampled_from([(), (1,), (3,)]),
)
def test_every_token_is_answered_once_and_has_waited_no_longer_than_promised(
    length: int, chunk: int, lookahead: int, columns: tuple[int, ...]
) -> None:
    delay = delayed(chunk, lookahead)
    ids = np.arange(1, 1 + length * (columns or (1,))[0]).reshape(1, length, *columns)
    read = delay.read(ids)[0]
    assert len(read) == delay.count(np.array([length]))[0]
    if not chunk:
        assert np.array_equal(read[:length], ids[0])
        assert not read[length:].any()
        answers = np.arange(len(read))[None, :, None] - lookahead  # step t answers t - lookahead
        assert delay.aligned(answers, length)[0, :, 0].tolist() == list(range(length))
        return
    said = []
    for step, window in enumerate(read.reshape(len(read), delay.window, *columns)):
        first = step * chunk
        known = ids[0, first : first + delay.window]
        assert np.array_equal(window[: len(known)], known)
        assert not window[len(known) :].any()
        said.append([first + place for place in range(chunk)])
        assert min(first + delay.window, length) - 1 - first <= delay.steps
    made = np.array(said)[None]
    assert delay.aligned(made, length)[0, :, 0].tolist() == list(range(length))


@given(chunk=COUNTS, lookahead=COUNTS)
def test_a_manifest_says_the_delay(chunk: int, lookahead: int) -> None:
    delay = delayed(chunk, lookahead)
    assert Delay.of({"delay": delay.steps, "chunk": chunk}) == delay
    assert Delay.of({}) == Delay(0, 0)
    assert Delay.of({"delay": None}) is None


@pytest.mark.parametrize(
    "decoding",
    [
        {"delay": -1},
        {"delay": True},
        {"delay": 0.5},
        {"delay": 2**16},
        {"delay": "2"},
        {"delay": 2, "chunk": None},
        {"delay": 2, "chunk": -1},
    ],
)
def test_what_is_no_delay_is_refused(decoding: dict[str, Any]) -> None:
    with pytest.raises(BundleError, match=r"decoding\.delay must be null or a number of steps"):
        Delay.of(decoding)


@pytest.mark.parametrize("decoding", [{"delay": 2, "chunk": 4}, {"delay": None, "chunk": 1}])
def test_a_chunk_waits_for_its_last_token(decoding: dict[str, Any]) -> None:
    with pytest.raises(BundleError, match="waits for those behind it"):
        Delay.of(decoding)
