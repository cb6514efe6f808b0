"""Members come and go at random: each is what it would be alone, and nothing stays behind."""

from __future__ import annotations

import gc
import random
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.endurance.inputs import SYMBOLS
from tests.memory import resident_bytes

if TYPE_CHECKING:
    from treadle.model import Model

PLACES = 24
LARGEST_GROWTH = 2 << 20
"""The allocator keeps some of what so many streams gave back."""


class Crowd:
    """The members of a pool, each beside a stream of its own that reads the same."""

    def __init__(self, model: Model, seed: int) -> None:
        self.model, self.pool = model, model.pool(PLACES)
        self.chance = random.Random(seed)
        self.pairs: list[tuple[Any, Any]] = []
        self.saved: list[Any] = []

    def join_or_leave(self) -> None:
        full = len(self.pairs) == PLACES
        if self.pairs and (full or self.chance.random() < 0.5):
            member, stream = self.pairs.pop(self.chance.randrange(len(self.pairs)))
            self.saved = [*self.saved[-3:], member.snapshot()]
            assert self.saved[-1] == stream.snapshot()
            member.leave()
            stream.close()
        elif self.saved and self.chance.random() < 0.5:
            snapshot = self.chance.choice(self.saved)
            self.pairs.append((self.pool.join(snapshot), self.model.resume(snapshot)))
        else:
            self.pairs.append((self.pool.join(), self.model.stream()))

    def step_some(self) -> None:
        stepping = [pair for pair in self.pairs if self.chance.random() < 0.3]
        inputs = [np.array(self.chance.randrange(SYMBOLS)) for _ in stepping]
        answers = self.pool.step(
            {member: x for (member, _), x in zip(stepping, inputs, strict=True)}
        )
        for (member, stream), x in zip(stepping, inputs, strict=True):
            assert answers[member].tobytes() == stream.step(x[None]).tobytes()

    def leave(self) -> None:
        for member, stream in self.pairs:
            member.leave()
            stream.close()
        self.pairs.clear()


def crowd(model: Model, times: int) -> int:
    """Join or leave so many times; how much the memory grew in the last three quarters."""
    crowd, before = Crowd(model, seed=times), 0
    with crowd.pool:
        for turn in range(times):
            crowd.join_or_leave()
            crowd.step_some()
            if turn == times // 4:
                gc.collect()
                before = resident_bytes()
        crowd.leave()
        gc.collect()
        grown = resident_bytes() - before
        # All places are free, each once, and what joins there starts anew.
        assert crowd.pool.metrics().members == 0
        members = [crowd.pool.join() for _ in range(PLACES)]
        assert len({member._slot for member in members}) == PLACES
        with model.stream() as stream:
            start = stream.snapshot()
        assert {member.snapshot() for member in members} == {start}
    return grown


def test_500_joins_and_leaves(model: Model) -> None:
    crowd(model, 500)


@pytest.mark.slow
@pytest.mark.usefixtures("_memory_can_be_read")
def test_10_000_joins_and_leaves(model: Model) -> None:
    grown = crowd(model, 10_000)
    print(f"{grown / 1024:.0f} KiB more")
    assert grown <= LARGEST_GROWTH
