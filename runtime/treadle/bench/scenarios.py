"""What is measured of an open model, one scenario a function.

A scenario says what one call is and lets `sample` time it; those with a rate are `at_a_rate`.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from treadle.bench.at_a_rate import Company, wait_until
from treadle.bench.inputs import Inputs
from treadle.bench.sampling import Patience, sample
from treadle.bench.times import Times
from treadle.errors import InputError

if TYPE_CHECKING:
    from treadle.model import Model


@dataclass(frozen=True, slots=True)
class Sizes:
    """How large the scenarios are.

    rows: sequences side by side in `step`. chunk: steps in `chunk`, symbols of a prompt in
    `generate`. steps: of `sequence`. streams, rate: of `pool`, and frames a second of each.
    frame_ms: time between two frames in `real-time`, which is what each may take.
    """

    rows: int = 1
    chunk: int = 16
    steps: int = 100
    streams: int = 32
    rate: float = 20.0
    frame_ms: float = 10.0

    def __post_init__(self) -> None:
        small = {name: getattr(self, name) for name in ("rows", "chunk", "steps", "streams")}
        for name, value in small.items():
            if value < 1:
                raise InputError(f"expected {name} to be at least 1, got {value}")
        if not (self.rate > 0 and self.frame_ms > 0):
            raise InputError(
                f"expected a rate and a frame's milliseconds above 0, got {self.rate!r} and "
                f"{self.frame_ms!r}"
            )


@dataclass(frozen=True, slots=True)
class Measured:
    """Times of a scenario's calls, with the sizes that it used and what else it found."""

    scenario: str
    parameters: dict[str, Any]
    times: Times
    found: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """All of it as one JSON object."""
        named = {"scenario": self.scenario, "parameters": self.parameters}
        return named | self.times.to_json() | self.found


def step(model: Model, sizes: Sizes, patience: Patience) -> Measured:
    """One time step of one stream, state carried, as an application calls it."""
    inputs = Inputs.of(model)
    following = itertools.cycle(inputs.steps(sizes.rows)).__next__
    with closing(inputs.stream(model, sizes.rows)) as stream:
        times = sample(lambda: stream.step(following()), patience)
    return Measured("step", {"rows": sizes.rows}, times)


def chunk(model: Model, sizes: Sizes, patience: Patience) -> Measured:
    """Several steps in one call, state carried: a block of audio, a prompt."""
    inputs = Inputs.of(model)
    block = inputs.block(1, sizes.chunk)
    with closing(inputs.stream(model, 1)) as stream:
        times = sample(lambda: stream.feed(block), patience)
    return Measured("chunk", {"steps": sizes.chunk}, times, _rate(times, sizes.chunk))


def sequence(model: Model, sizes: Sizes, patience: Patience) -> Measured:
    """A whole sequence from its start, the outputs of all steps in one call."""
    inputs = Inputs.of(model)
    block = inputs.block(1, sizes.steps)
    if "step" not in model.manifest.graphs:
        reader: Any = model  # every class of model that cannot step has `read`
        times = sample(lambda: reader.read(block), patience)
    else:
        with closing(inputs.stream(model, 1)) as stream:

            def call() -> None:
                stream.reset()
                stream.unroll(block)

            times = sample(call, patience)
    return Measured("sequence", {"steps": sizes.steps}, times, _rate(times, sizes.steps))


def generate(model: Model, sizes: Sizes, patience: Patience) -> list[Measured]:
    """Symbols that are made one after another: until the first, and each after it.

    Greedily, for the recorded source or after a prompt of the recorded input; an end symbol ends
    nothing.
    """
    inputs = Inputs.of(model)
    prompt = inputs.block(1, 1 if inputs.source is not None else sizes.chunk)

    def first() -> None:
        with closing(inputs.stream(model, 1)) as stream:
            stream.feed(prompt).argmax(-1)

    until = sample(first, patience)
    with closing(inputs.stream(model, 1)) as stream:
        said = [stream.feed(prompt).argmax(-1)]

        def after() -> None:
            said[0] = stream.step(said[0]).argmax(-1)

        each = sample(after, patience)
    read = {"prompt": prompt.shape[1]}
    return [Measured("first-symbol", read, until), Measured("symbol", {}, each, _rate(each, 1))]


def real_time(model: Model, sizes: Sizes, patience: Patience) -> Measured:
    """One stream whose frames come at a fixed rate; one that takes longer than that is a miss."""
    inputs = Inputs.of(model)
    following = itertools.cycle(inputs.steps(1)).__next__
    period = sizes.frame_ms / 1000
    count = max(2, int(patience.seconds / period))
    late, busy = np.empty(count, np.int64), 0
    with closing(inputs.stream(model, 1)) as stream:
        stream.step(following())
        start = time.perf_counter() + period
        for index in range(count):
            due = start + index * period
            wait_until(due)
            began = time.perf_counter_ns()
            stream.step(following())
            ended = time.perf_counter_ns()
            late[index], busy = max(ended - int(due * 1e9), 1), busy + ended - began
    misses = int((late > period * 1e9).sum())
    found = {"misses": misses, "real_time_factor": busy / (count * period * 1e9)}
    return Measured("real-time", {"frame_ms": sizes.frame_ms}, Times(late), found)


def pool(model: Model, sizes: Sizes, patience: Patience) -> Measured:
    """Many streams that each bring frames at a rate, at times of their own, through one pool.

    Whatever is due goes into the next call. A frame that is not through before the next of its
    stream is due is a miss.
    """
    with closing(Company(model, sizes.streams)) as company:
        times, found = company.at(sizes.rate, patience.seconds)
    return Measured("pool", {"streams": sizes.streams, "rate": sizes.rate}, times, found)


LOADS = (0.1, 0.3, 0.5, 0.7, 0.9)
"""Shares of what a pool can do at most."""


def load(model: Model, sizes: Sizes, patience: Patience) -> list[Measured]:
    """Latency against load: a pool whose streams together bring a share of what it can do."""
    made = []
    with closing(Company(model, sizes.streams)) as company:
        most = company.most(patience)
        for share in LOADS:
            rate = share * most / sizes.streams
            times, found = company.at(rate, patience.seconds / len(LOADS))
            given = {"streams": sizes.streams, "load": share}
            made.append(Measured("load", given, times, {"rate": rate, **found}))
    return made


def _rate(times: Times, steps: int) -> dict[str, float]:
    """Steps a second at the median."""
    return {"steps_per_second": steps * 1e9 / times.median}


Scenario = Callable[["Model", Sizes, Patience], Measured | list[Measured]]
SCENARIOS: dict[str, Scenario] = {
    "step": step,
    "chunk": chunk,
    "sequence": sequence,
    "generate": generate,
    "pool": pool,
    "load": load,
    "real-time": real_time,
}


def fitting(model: Model) -> list[str]:
    """The scenarios that a model can be measured in."""
    if "step" not in model.manifest.graphs:
        return ["sequence"]
    writes = model.manifest.task in ("language-modelling", "transduction", "generation")
    return [name for name in SCENARIOS if writes or name != "generate"]
