"""Many threads step many members of one pool: each is what it would be alone, to the bit."""

from __future__ import annotations

import threading
import zlib
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.endurance.inputs import SYMBOLS, symbol

if TYPE_CHECKING:
    from treadle.model import Model
    from treadle.pool import Pool
    from treadle.state import Snapshot

IDS = [np.array(number) for number in range(SYMBOLS)]
Trace = tuple[int, "Snapshot"]
"""The checksum of all outputs, one after the other, and what is carried at the end."""


def in_the_pool(pool: Pool, sequences: range, steps: int, traces: dict[int, Trace]) -> None:
    """One thread: its own members, stepped together."""
    members = {sequence: pool.join() for sequence in sequences}
    sums = dict.fromkeys(sequences, 0)
    for step in range(steps):
        inputs = {member: IDS[symbol(n, step)] for n, member in members.items()}
        answers = pool.step(inputs)
        for sequence, member in members.items():
            sums[sequence] = zlib.crc32(answers[member], sums[sequence])
    for sequence, member in members.items():
        traces[sequence] = sums[sequence], member.snapshot()
        member.leave()


def alone(model: Model, sequence: int, steps: int) -> Trace:
    checksum = 0
    with model.stream() as stream:
        for step in range(steps):
            output = stream.step(IDS[symbol(sequence, step)][None], copy=False)
            checksum = zlib.crc32(output, checksum)
        return checksum, stream.snapshot()


def compare(model: Model, threads: int, members: int, steps: int) -> str:
    """Each of `threads` has `members` of its own. Says what calls there were."""
    traces: dict[int, Trace] = {}
    with model.pool(threads * members) as pool:
        workers = [
            threading.Thread(
                target=in_the_pool,
                args=(pool, range(first, first + members), steps, traces),
            )
            for first in range(0, threads * members, members)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        metrics = pool.metrics()
    assert metrics.members == 0
    assert metrics.steps == threads * members * steps
    assert len(traces) == threads * members
    for sequence, trace in traces.items():
        assert trace == alone(model, sequence, steps), f"sequence {sequence}"
    return f"{metrics.calls} calls, {metrics.batch_mean:.0f} rows each, {metrics.batch_max} at most"


def test_8_threads_with_8_members_each(model: Model) -> None:
    compare(model, 8, 8, 50)


@pytest.mark.slow
def test_64_threads_with_64_members_each(model: Model) -> None:
    print(compare(model, 64, 64, 1_000))
