"""Treadle: a bundle of the same weights, through what a user calls.

A step is `Stream.step` on prebound buffers, 32 streams are one stream of 32 rows or the members of
a pool, a sentence is `Tagger.read`. The decoder's memory is made by the bundle's own encoder, in
the bundle's precision, where the others are given PyTorch's. Weights of 4 bits are rounded to the
nearest level, as the others' are: there is no data that a calibration could read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

import treadle
from benchmarks.peers.engines import CANDIDATES
from benchmarks.peers.workloads import REFERENCE, WEIGHTS, loaded

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from benchmarks.peers.case import Case
    from benchmarks.peers.workloads import Ids

PRECISIONS = {"fp32": "float32", "int8": "int8", "int4": "int4"}


def version() -> str:
    """Of the package."""
    return treadle.__version__


def convert(case: Case) -> None:
    """The product's network with these weights, captured, lowered and written."""
    from benchmarks.peers.treadle_bundle import write

    named = case.engine.name.removeprefix("treadle ")
    write(
        case.workload,
        case.cell,
        loaded(case.folder / WEIGHTS),
        named if named.startswith("int") else PRECISIONS[case.precision],
        case.file(".treadle"),
        candidates=CANDIDATES if case.engine.name.endswith("screened head") else None,
    )


def load(case: Case) -> StreamRunner | PoolRunner | SentenceRunner:
    """A model with the asked threads, and what reads for it."""
    model = treadle.load(case.file(".treadle"), threads=case.threads)
    if case.workload.kind == "tagger":
        return SentenceRunner(model)
    if case.engine.name.endswith("pool"):
        return PoolRunner(model, case.workload.streams)
    if case.workload.kind == "decoder":
        source = loaded(case.folder / REFERENCE)["source"]
        return StreamRunner(model.stream(np.asarray(source, np.int64)[None]))
    return StreamRunner(model.stream(batch_size=case.workload.streams))


class StreamRunner:
    """One stream, of one row or many."""

    def __init__(self, stream: treadle.Stream) -> None:
        self._stream = stream

    def start(self) -> None:
        """Its initial state."""
        self._stream.reset()

    def step(self, tokens: Ids) -> NDArray[np.float32]:
        """One step; logits are a view that the next step overwrites."""
        logits: NDArray[np.float32] = self._stream.step(tokens, copy=False)
        return logits


class PoolRunner:
    """Members of a pool, each with its own state."""

    def __init__(self, model: Any, streams: int) -> None:
        self._pool = model.pool(streams)
        self._members: list[treadle.Member] = []
        self._streams = streams

    def start(self) -> None:
        """New members in the places of the old ones."""
        for member in self._members:
            member.leave()
        self._members = [self._pool.join() for _ in range(self._streams)]

    def step(self, tokens: Ids) -> NDArray[np.float32]:
        """One call for all of them."""
        answers = self._pool.step(dict(zip(self._members, tokens, strict=True)))
        return np.stack([answers[member] for member in self._members])


class SentenceRunner:
    """A sentence at a time: nothing is carried."""

    def __init__(self, model: Any) -> None:
        self._model = model

    def start(self) -> None:
        """There is nothing to forget."""

    def step(self, tokens: Ids) -> NDArray[np.float32]:
        """Logits of every token."""
        logits: NDArray[np.float32] = self._model.read(tokens.T)[0]
        return logits
