"""The likelihood of a transcript under CTC, against all alignments written out."""

from __future__ import annotations

from itertools import groupby, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from treadle.decoding.alignments import ctc_nats, fewest_steps, rnnt_nats
from treadle.decoding.decoder import log_softmax
from treadle.errors import InputError

BLANK = 1


def collapsed(path: tuple[int, ...]) -> list[int]:
    return [symbol for symbol, _ in groupby(path) if symbol != BLANK]


@given(
    steps=st.integers(1, 5),
    ids=st.lists(st.sampled_from([0, 2]), max_size=3),
    seed=st.integers(0, 9),
)
@settings(max_examples=60, deadline=None)
def test_ctc_is_the_sum_over_all_alignments(steps: int, ids: list[int], seed: int) -> None:
    logits = np.random.default_rng(seed).normal(size=(steps, 3)).astype(np.float32)
    scores = log_softmax(logits)
    paths = [path for path in product(range(3), repeat=steps) if collapsed(path) == ids]
    assert bool(paths) == (fewest_steps(ids) <= steps)
    if not paths:
        with pytest.raises(InputError, match="no alignment gives it"):
            ctc_nats(scores, ids, BLANK)
        return
    sums = [sum(scores[step, symbol] for step, symbol in enumerate(path)) for path in paths]
    assert ctc_nats(scores, ids, BLANK) == pytest.approx(-np.logaddexp.reduce(sums))


def test_no_steps_say_nothing() -> None:
    with pytest.raises(InputError, match="at least 1 steps"):
        ctc_nats(np.zeros((0, 3)), [], BLANK)
    with pytest.raises(InputError, match="at least one step"):
        rnnt_nats(np.zeros((0, 1, 3)), [], BLANK)
