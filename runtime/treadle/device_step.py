"""The step graph with state and context in a device's own memory.

As in `bound_step.py` two sets of buffers change places. They never leave the device: a step takes
its input up and brings its outputs down, or leaves them there for whoever goes on there. What asks
for the state itself (`state`, `snapshot`, a history, `feed`, `unroll`) gets a copy in the host's
memory.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np

from treadle.bound_step import BoundStep
from treadle.engine import Engine
from treadle.session import load_engine

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager

    from numpy.typing import ArrayLike

    from treadle.arrays import Array
    from treadle.manifest import Graph


class DeviceStep(BoundStep):
    """As BoundStep, with OrtValues where the session runs.

    `state` and `next_state` are copies; `write` puts a state back. `context` stays in the host's
    memory as well, for whoever reads it there; `renew_context` takes it up anew. `outputs` are
    arrays of the host, to which a step copies what lies on the device; not so `step_there`.
    """

    __slots__ = ("_active", "_made", "_step_there", "_values")

    def _runner(self, session: Any, graph: Graph) -> Callable[[], None]:
        place = Engine.of(session)
        self._values = {name: put(array, place) for name, array in self.context.items()}
        here, there = (
            {name: put(array, place) for name, array in half.items()} for half in self._turns[0][:2]
        )
        self._turns = [(here, there, None), (there, here, None)]
        self._made = [put(output, place) for output in self.outputs]
        self._active, x = self._mask(graph, place), put(self.x, place)
        fixed = {graph.inputs[0].name: x} | self._values
        if graph.active is not None:
            fixed[graph.active] = self._active
        return self._bringing_down(self._running(session, graph, x, fixed), nullcontext())

    def _bringing_down(
        self, run: Callable[[], None], turn: AbstractContextManager[Any]
    ) -> Callable[[], None]:
        """What runs and copies its outputs, both within `turn`; what copies nothing is kept."""
        pairs: list[tuple[Array, Any]] = list(zip(self.outputs, self._made, strict=True))

        def leave() -> None:
            with turn:
                run()

        def bring_down() -> None:
            with turn:
                run()
                for output, value in pairs:
                    output[...] = value.numpy()

        self._step_there = self._guarded(leave)
        return bring_down

    def _mask(self, graph: Graph, place: Engine) -> Any:
        """Where the graph has a mask of its own: one by which every row reads."""
        return None if graph.active is None else put(np.ones(len(self.x), bool), place)

    def _running(
        self, session: Any, graph: Graph, x: Any, fixed: dict[str, Any]
    ) -> Callable[[], None]:
        for index, (old, new, _) in enumerate(self._turns):
            binding = session.io_binding()
            for tensor, value in zip(graph.outputs, self._made, strict=True):
                binding.bind_ortvalue_output(tensor.name, value)
            for port in graph.state:
                binding.bind_ortvalue_output(port.output, new[port.name])
            given = fixed | {port.input: old[port.name] for port in graph.state}
            self._kept.append(binding)
            inputs = [(name, value._ortvalue) for name, value in given.items()]
            self._turns[index] = (old, new, (binding._iobinding, inputs))
        call, options, turns = (
            session._sess.run_with_iobinding,
            load_engine().RunOptions(),
            self._turns,
        )

        def run() -> None:
            x.update_inplace(self.x)
            binding, given = turns[0][2]
            # The engine copies an input that a node reads elsewhere when it is bound, and never
            # again (`IOBinding::BindInput` in onnxruntime/core/session/IOBinding.cc). So each is
            # bound anew: 0.4 µs where there is nothing to copy.
            for name, value in given:
                binding.bind_ortvalue_input(name, value)
            call(binding, options)
            turns.reverse()

        return run

    @property
    def state(self) -> dict[str, Array]:
        """Copies by name: what the next step reads."""
        return _down(self._turns[0][0])

    @property
    def next_state(self) -> dict[str, Array]:
        """Copies by name: until the next step, the state before."""
        return _down(self._turns[0][1])

    def write(self, state: Mapping[str, Array], rows: Array | None = None) -> None:
        """Take the state up, or let row i become row `rows[i]` of it."""
        for name, value in self._turns[0][0].items():
            array = state[name] if rows is None else state[name][rows]
            value.update_inplace(np.ascontiguousarray(array))

    def renew_context(self) -> None:
        """Take up what was written into `context`."""
        for name, value in self._values.items():
            value.update_inplace(self.context[name])

    def step_there(self, x: ArrayLike, /) -> list[Any]:
        """A step whose outputs stay on the device, and these."""
        self._step_there(x)
        return self._made

    def step_some(self, x: Array, idle: Array) -> None:
        """The step of the rows that are not idle: with the graph's own mask where it has one."""
        if self._active is None:
            super().step_some(x, idle)
            return
        self._active.update_inplace(~idle)
        try:
            self.step(x)
        finally:
            self._active.update_inplace(np.ones_like(idle))
        for output in self.outputs:
            output[idle] = 0

    def take_back(self, rows: Array) -> None:
        """As BoundStep does, by way of the host."""
        state, before = self.state, self.next_state
        for name, array in state.items():
            array[rows] = before[name][rows]
        self.write(state)
        for output in self.outputs:
            output[rows] = 0


def put(array: Array, place: Engine) -> Any:
    """A copy of an array where an engine runs."""
    made = load_engine().OrtValue.ortvalue_from_shape_and_type(
        array.shape, array.dtype.type, place.kind, place.number
    )
    made.update_inplace(array)
    return made


def _down(values: Mapping[str, Any]) -> dict[str, Array]:
    """Copies in the host's memory; what the engine gives may be the value's own memory."""
    return {name: np.array(value.numpy()) for name, value in values.items()}
