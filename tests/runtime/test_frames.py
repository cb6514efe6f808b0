"""However samples arrive, the frames are those of the whole."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.runtime.tiny_bundles import FEATURES
from treadle.errors import InputError
from treadle.frames import Framer

if TYPE_CHECKING:
    from treadle.model import Model


@given(st.integers(1, 6), st.integers(1, 9), st.lists(st.integers(0, 8), max_size=9))
def test_any_chunks_give_the_frames_of_the_whole(size: int, hop: int, chunks: list[int]) -> None:
    framer, total = Framer(size, hop), sum(chunks)
    samples = np.arange(total, dtype=np.float32)
    ends = np.cumsum([0, *chunks])
    made = [framer.push(samples[first:last]) for first, last in pairwise(ends)]
    expected = [samples[first : first + size] for first in range(0, total - size + 1, hop)]
    assert np.array_equal(
        np.concatenate([np.zeros((0, size), np.float32), *made]),
        np.array(expected, np.float32).reshape(-1, size),
    )
    assert framer.waiting < max(size, hop)
    framer.clear()
    assert framer.push(samples[:size]).shape[0] == (total >= size)


@given(st.lists(st.integers(0, 3 * FEATURES), max_size=6))
def test_a_stream_listens_to_chunks_of_any_size(features: Model, chunks: list[int]) -> None:
    samples = np.random.default_rng(0).normal(size=sum(chunks)).astype(np.float32)
    pieces = np.split(samples, np.cumsum(chunks)[:-1]) if chunks else []
    heard = list(features.stream().listen(pieces))
    frames = samples[: len(samples) // FEATURES * FEATURES].reshape(-1, FEATURES)
    stream = features.stream()
    assert len(heard) == len(frames)
    for outputs, frame in zip(heard, frames, strict=True):
        assert np.array_equal(outputs, stream.step(frame[None]))


@pytest.mark.parametrize("samples", [[1, 2], np.zeros((2, 2), np.float32), np.zeros(3)])
def test_samples_that_are_none(samples: Any) -> None:
    framer = Framer(4)
    framer.push(np.ones(3, np.float32))
    with pytest.raises(InputError, match=r"samples should be float32 \[n\]"):
        framer.push(samples)
    assert framer.waiting == 3


def test_a_stream_that_does_not_listen(characters: Model, features: Model) -> None:
    with pytest.raises(InputError, match="reads no frames"):
        next(characters.stream().listen([np.zeros(3, np.float32)]))
    with pytest.raises(InputError, match="one row"):
        next(features.stream(batch_size=2).listen([np.zeros(3, np.float32)]))
    for size, hop in ((0, None), (3, 0), (2.5, None)):
        with pytest.raises(InputError):
            Framer(size, hop)  # type: ignore[arg-type]
