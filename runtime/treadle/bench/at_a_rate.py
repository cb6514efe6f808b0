"""Frames that come at a rate, whoever is ready for them.

The time of a frame runs from when it is due, not from when somebody gets to it: a call that is late
makes all behind it late, and that is what a user waits for.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from treadle.bench.inputs import Inputs
from treadle.bench.sampling import Patience, sample
from treadle.bench.times import Times

if TYPE_CHECKING:
    from treadle.model import Model

_START = 0.01  # seconds before the first frame
_AHEAD = 0.0002
"""Seconds before a frame is due in which nobody sleeps: a sleep may last that much longer."""


class Company:
    """The streams of one pool, fed from the recorded input."""

    def __init__(self, model: Model, streams: int) -> None:
        inputs = Inputs.of(model)
        source = None if inputs.source is None else inputs.source[0]
        self._frames = inputs.steps(1)
        self._pool = model.pool(streams, exact=not _alike(model))
        self._members = [self._pool.join(source=source) for _ in range(streams)]

    def close(self) -> None:
        """Let all of them leave."""
        self._pool.close()

    def most(self, patience: Patience) -> float:
        """Frames a second where every stream always has one."""
        streams = len(self._members)
        short = replace(patience, seconds=patience.seconds / 4)
        return streams * 1e9 / sample(lambda: self.step([*range(streams)]), short).median

    def at(self, rate: float, seconds: float) -> tuple[Times, dict[str, Any]]:
        """Times from when frames are due, `rate` a second of each stream; misses, batch, busy."""
        period, streams = 1 / rate, len(self._members)
        rounds = max(2, int(seconds / period))
        offsets = np.random.default_rng(0).uniform(0, period, streams)
        dues = (np.arange(rounds)[:, None] * period + offsets).ravel()
        order = np.argsort(dues, kind="stable").tolist()
        late, calls, busy = np.empty(len(dues), np.int64), 0, 0.0
        start, done = time.perf_counter() + _START, 0
        while done < len(order):
            wait_until(start + dues[order[done]])
            began = time.perf_counter()
            waiting = order[done : done + streams]
            ready = [index for index in waiting if start + dues[index] <= began]
            batch = _once_each(ready, streams)
            self.step(batch)
            ended = time.perf_counter()
            for index in batch:
                late[done] = max(int((ended - start - dues[index]) * 1e9), 1)
                done += 1
            calls, busy = calls + 1, busy + ended - began
        found = {
            "misses": int((late > period * 1e9).sum()),
            "mean_batch": len(dues) / calls,
            "busy": busy / (rounds * period),
        }
        return Times(late), found

    def step(self, frames: list[int]) -> None:
        """One call for these frames, number i of stream i modulo their number, each once at most.

        Raises what a stream raises.
        """
        streams, known = len(self._members), len(self._frames)
        answers = self._pool.step(
            {self._members[i % streams]: self._frames[i % known][0] for i in frames}
        )
        for answer in answers.values():
            if isinstance(answer, Exception):
                raise answer


def _once_each(ready: list[int], streams: int) -> list[int]:
    """The first of `ready` until a stream would come a second time: a call takes each once."""
    seen: set[int] = set()
    for place, index in enumerate(ready):
        if index % streams in seen:
            return ready[:place]
        seen.add(index % streams)
    return ready


def _alike(model: Model) -> bool:
    """Whether rows are promised to be the same in any company."""
    invariance = model.manifest.evidence.get("invariance", {})
    return bool(isinstance(invariance, dict) and invariance.get("promised"))


def wait_until(due: float) -> None:
    """Sleep most of the time there is, then look at the clock."""
    left = due - time.perf_counter()
    if left > _AHEAD:
        time.sleep(left - _AHEAD)
    while time.perf_counter() < due:
        pass
