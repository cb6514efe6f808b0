"""The step on a GPU as a CUDA graph: captured by its first call, replayed by those that follow.

A replay reads and writes the addresses that were captured, so all buffers lie on the device and are
bound once, outputs too. The engine captures a graph after some ordinary runs within the same call;
with two sets of state that change places these runs all read the same state and write the same
next one, and each set has a graph of its own.

A graph lives as long as its session. So the buffers of a stream that is gone go to the next stream
of its size, and there are never more graphs than two for each stream that was open at a time.
"""

from __future__ import annotations

import threading
import weakref
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple

from treadle.device_step import DeviceStep, put
from treadle.engine import Engine
from treadle.session import load_engine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from treadle.manifest import Graph

_GRAPH = "gpu_graph_id"  # of the run options: by which the engine knows a graph again


class _Buffers(NamedTuple):
    """What a captured step reads and writes on the device, and its two turns."""

    x: Any
    active: Any
    outputs: list[Any]
    turns: list[tuple[dict[str, Any], dict[str, Any], Any]]


class _Captures:
    """The graphs of one session: their numbers, and the buffers that wait for a stream.

    turn: graphs of one session must not run side by side, nor may another call copy meanwhile.
    """

    def __init__(self) -> None:
        self.turn = threading.Lock()
        self.numbers: Iterator[int] = count(1)
        self._waiting: dict[int, list[_Buffers]] = {}

    def take(self, rows: int) -> _Buffers | None:
        """Buffers of so many rows that nobody uses, if there are any."""
        waiting = self._waiting.get(rows)
        return waiting.pop() if waiting else None

    def give(self, rows: int, buffers: _Buffers) -> None:
        """Keep them for the next stream."""
        self._waiting.setdefault(rows, []).append(buffers)


_captures: weakref.WeakKeyDictionary[Any, _Captures] = weakref.WeakKeyDictionary()
_finding = threading.Lock()


def captures_of(session: Any) -> _Captures:
    """Those of a session, which were none before it was asked for."""
    with _finding:
        return _captures.setdefault(session, _Captures())


class CapturedStep(DeviceStep):
    """As DeviceStep, for a graph without context, in a session that captures CUDA graphs."""

    __slots__ = ("__weakref__",)

    def _runner(self, session: Any, graph: Graph) -> Callable[[], None]:
        captures, rows = captures_of(session), len(self.x)
        buffers = captures.take(rows) or self._captured(session, graph, captures)
        weakref.finalize(self, captures.give, rows, buffers).atexit = False
        start = self._turns[0][0]
        self._values, self._active, self._turns = {}, buffers.active, buffers.turns
        self._made = buffers.outputs
        self.write(start)
        return self._bringing_down(self._replaying(session, buffers), captures.turn)

    def _captured(self, session: Any, graph: Graph, captures: _Captures) -> _Buffers:
        place = Engine.of(session)
        x, active, outputs = (
            put(self.x, place),
            self._mask(graph, place),
            [put(output, place) for output in self.outputs],
        )
        here, there = (
            {name: put(array, place) for name, array in half.items()} for half in self._turns[0][:2]
        )
        turns = []
        for old, new in ((here, there), (there, here)):
            binding = session.io_binding()
            given = {graph.inputs[0].name: x} | {p.input: old[p.name] for p in graph.state}
            if graph.active is not None:
                given[graph.active] = active
            made = {t.name: value for t, value in zip(graph.outputs, outputs, strict=True)}
            made |= {port.output: new[port.name] for port in graph.state}
            for name, value in given.items():
                binding.bind_ortvalue_input(name, value)
            for name, value in made.items():
                binding.bind_ortvalue_output(name, value)
            options = load_engine().RunOptions()
            options.add_run_config_entry(_GRAPH, str(next(captures.numbers)))
            turns.append((old, new, (binding, options)))
        return _Buffers(x, active, outputs, turns)

    def _replaying(self, session: Any, buffers: _Buffers) -> Callable[[], None]:
        call, turns, given, x = (
            session._sess.run_with_iobinding,
            buffers.turns,
            self.x,
            buffers.x,
        )

        def run() -> None:
            x.update_inplace(given)
            binding, options = turns[0][2]
            call(binding._iobinding, options)
            turns.reverse()

        return run
