"""The step graph called with dictionaries, for a plan that found this faster where it was tuned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from treadle.bound_step import BoundStep

if TYPE_CHECKING:
    from collections.abc import Mapping

    from treadle.arrays import Array, Reading
    from treadle.manifest import Graph


class PlainStep(BoundStep):
    """As BoundStep, with `session.run`: the engine makes new arrays, which are copied."""

    __slots__ = ("_feeds", "_made", "_names", "_run")

    def __init__(
        self,
        session: Any,
        graph: Graph,
        reading: Reading,
        batch: int,
        state: Mapping[str, Array],
        context: Mapping[str, Array],
    ) -> None:
        super().__init__(session, graph, reading, batch, state, context)
        self._run = session.run
        self._names = [t.name for t in graph.outputs] + [port.output for port in graph.state]
        fixed = {graph.inputs[0].name: self.x, **self.context}
        here, there = self.state, self.next_state
        self._feeds = [
            fixed | {port.input: buffers[port.name] for port in graph.state}
            for buffers in (here, there)
        ]
        self._made = [
            [*self.outputs, *(buffers[port.name] for port in graph.state)]
            for buffers in (there, here)
        ]

    def __call__(self) -> None:
        """Make one step from `x`: fills `outputs` and moves `state` on."""
        for buffer, array in zip(
            self._made[0], self._run(self._names, self._feeds[0]), strict=True
        ):
            np.copyto(buffer, array)
        self._feeds.reverse()
        self._made.reverse()
        self.state, self.next_state = self.next_state, self.state
