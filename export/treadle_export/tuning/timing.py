"""Times candidates against each other, through the runtime: they take turns, round after round.

A busy moment of the machine then falls on all of them, and the median over the rounds forgets it.
"""

import itertools
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import treadle
from treadle.manifest import SOURCE_MULTIPLE
from treadle.model import Model
from treadle.stopwatch import Latency, measure
from treadle.stream import Stream
from treadle_export.parity.trace import Trace
from treadle_export.tuning.candidates import Candidate
from treadle_export.tuning.workload import Workload

Timings = dict[Candidate, dict[Workload, Latency]]
"""Microseconds a time step and row: those of a call over the workload's steps and rows."""

Timer = Callable[[Mapping[Candidate, Path], Sequence[Workload], Trace, int], Timings]
"""(candidate -> its bundle, workloads, real inputs, rounds) -> timings."""

ROUND_SECONDS = 0.1
"""About so long a candidate has its turn."""

_CALLS = (20, 2000)  # of a turn, at least and at most
_DIFFERENT = 64  # inputs that a step meets in turn


def time_candidates(
    bundles: Mapping[Candidate, Path], workloads: Sequence[Workload], trace: Trace, rounds: int
) -> Timings:
    """Opens every candidate's bundle and times each workload in `rounds` turns.

    Raises:
        DeviceError: the engine cannot run one.
    """
    timings: Timings = {candidate: {} for candidate in bundles}
    with ExitStack() as open_models:
        models = {c: open_models.enter_context(opened(c, path)) for c, path in bundles.items()}
        for workload in workloads:
            calls = {c: call_of(model, workload, trace) for c, model in models.items()}
            turns = {candidate: _turn(call) for candidate, call in calls.items()}
            taken: dict[Candidate, list[Latency]] = {candidate: [] for candidate in bundles}
            for _ in range(rounds):
                for candidate, call in calls.items():
                    steps, threads = turns[candidate], candidate.settings.threads
                    taken[candidate].append(measure(call, steps=steps, warmup=5, threads=threads))
            for candidate, latencies in taken.items():
                timings[candidate][workload] = _median(latencies, workload)
    return timings


def opened(candidate: Candidate, bundle: Path) -> Model:
    """The bundle as the candidate runs it."""
    model: Model = treadle.load(bundle, threads=candidate.settings.threads)
    model.call = candidate.settings.call
    return model


def call_of(model: Model, workload: Workload, trace: Trace) -> Callable[[], object]:
    """One call of the workload, its inputs real and its state carried on."""
    if workload.graph == "encode":
        return _encode(model, workload, trace)
    stream = _stream(model, workload.rows, trace)
    columns = workload.steps if workload.graph == "sequence" else _DIFFERENT
    x = _inputs(trace, workload.rows, columns)
    if workload.graph == "sequence":
        return lambda: stream.unroll(x)
    inputs = itertools.cycle([np.ascontiguousarray(x[:, column]) for column in range(columns)])
    return lambda: _step(stream, inputs)


def _step(stream: Stream, inputs: Iterator[NDArray[Any]]) -> object:
    return stream.step(next(inputs), copy=False)


def _stream(model: Model, rows: int, trace: Trace) -> Stream:
    if "encode" not in model.manifest.graphs:
        return model.stream(batch_size=rows)
    return model.stream(np.repeat(trace.source[None], rows, axis=0))


def _encode(model: Model, workload: Workload, trace: Trace) -> Callable[[], object]:
    graph, session = model.manifest.graphs["encode"], model.session("encode")
    features = trace.source.shape[1:]
    source = np.resize(trace.source, (workload.rows, workload.steps, *features))
    width = -(-workload.steps // SOURCE_MULTIPLE) * SOURCE_MULTIPLE
    padded = np.zeros((workload.rows, width, *features), source.dtype)
    padded[:, : workload.steps] = source
    lengths = np.full(workload.rows, workload.steps, np.int64)
    feeds = {graph.inputs[0].name: padded, graph.inputs[1].name: lengths}
    return lambda: session.run(None, feeds)


def _inputs(trace: Trace, rows: int, columns: int) -> NDArray[Any]:
    """[rows, columns, …] of the trace, every row from another place on."""
    begins = np.linspace(0, len(trace.inputs), rows, endpoint=False).astype(np.int64)
    places = (begins[:, None] + np.arange(columns)) % len(trace.inputs)
    return np.ascontiguousarray(trace.inputs[places])


def _turn(call: Callable[[], object]) -> int:
    """How many calls a turn has, so that it takes its time."""
    usual = measure(call, steps=10, warmup=10).p50_us
    least, most = _CALLS
    return int(np.clip(ROUND_SECONDS * 1e6 / max(usual, 1e-3), least, most))


def _median(latencies: Sequence[Latency], workload: Workload) -> Latency:
    """The medians over the rounds, a step and row; `steps` counts the calls of all rounds."""
    share = workload.steps * workload.rows
    return replace(
        latencies[0],
        p50_us=statistics.median(latency.p50_us for latency in latencies) / share,
        p99_us=statistics.median(latency.p99_us for latency in latencies) / share,
        steps=sum(latency.steps for latency in latencies),
    )
