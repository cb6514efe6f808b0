"""The step graph with every buffer bound once, so that a step is one raw call.

The state lives in two sets of buffers: a step reads one and writes the other, and then they
change places. Writing in place would let a graph read what it has just overwritten.
"""

from __future__ import annotations

from collections import namedtuple
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from treadle.errors import DeviceError
from treadle.session import load_engine

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import ArrayLike

    from treadle.arrays import Array, Reading
    from treadle.manifest import Graph


class BoundStep:
    """Buffers and bindings of one stream; not to be shared between threads.

    x: what the next step reads. run(): make a step from it, which fills `outputs` and moves `state`
    on. step(x): put an array there, checked as `Reading` does, and run.
    outputs: what the last one gave, one array an output.
    named: a list of outputs as the one array, or as a NamedTuple of several.
    views: the outputs, named, read-only and live; copied(): a copy of them.
    context: live buffers by name.
    """

    __slots__ = (
        "_guarded",
        "_kept",
        "_turns",
        "context",
        "copied",
        "named",
        "outputs",
        "run",
        "step",
        "views",
        "x",
    )

    def __init__(
        self,
        session: Any,
        graph: Graph,
        reading: Reading,
        batch: int,
        state: Mapping[str, Array],
        context: Mapping[str, Array],
    ) -> None:
        self.x = np.zeros((batch, *reading.features), reading.dtype)
        self.outputs = [np.zeros((batch, *_sizes(t.shape)), t.dtype) for t in graph.outputs]
        self.named = naming(graph)
        self.views = self.named([_read_only(output) for output in self.outputs])
        # For one output the array's own method, so that nothing stands between.
        first = self.outputs[0]
        self.copied = first.copy if len(self.outputs) == 1 else self._copied
        self.context = {t.name: np.array(context[t.name], order="C") for t in graph.context}
        here = {port.name: np.array(state[port.name], order="C") for port in graph.state}
        there = {name: np.zeros_like(array) for name, array in here.items()}
        # What a step reads, what it writes, and their binding; the next step, the other way round.
        self._turns: list[tuple[dict[str, Any], dict[str, Any], Any]]
        self._turns = [(here, there, None), (there, here, None)]
        self._kept: list[Any] = []
        self._guarded = partial(_checked, self.x, reading)
        self.run = self._runner(session, graph)
        self.step = self._guarded(self.run)

    def _runner(self, session: Any, graph: Graph) -> Callable[[], None]:
        fixed = {graph.inputs[0].name: self.x, **self.context}
        made = {t.name: a for t, a in zip(graph.outputs, self.outputs, strict=True)}
        for index, (old, new, _) in enumerate(self._turns):
            binding, kept = bind(
                session,
                fixed | {port.input: old[port.name] for port in graph.state},
                made | {port.output: new[port.name] for port in graph.state},
            )
            self._kept += [binding, *kept]
            self._turns[index] = (old, new, binding._iobinding)
        # The session's public method looks up options at each call: with onnxruntime 1.32 that
        # takes 100 µs, more than the whole step of a small model.
        call, options, turns = (
            session._sess.run_with_iobinding,
            load_engine().RunOptions(),
            self._turns,
        )

        def run() -> None:
            call(turns[0][2], options)
            turns.reverse()

        return run

    @property
    def state(self) -> dict[str, Array]:
        """Live buffers by name: what the next step reads."""
        return self._turns[0][0]

    @property
    def next_state(self) -> dict[str, Array]:
        """Live buffers by name: what the next step writes; until then, the state before."""
        return self._turns[0][1]

    def write(self, state: Mapping[str, Array], rows: Array | None = None) -> None:
        """Let the next step read `state`, or as row i its row `rows[i]`."""
        for name, array in self.state.items():
            if rows is None:
                array[...] = state[name]
            else:
                np.take(state[name], rows, axis=0, out=array)

    def renew_context(self) -> None:
        """Must follow what is written into `context`; here the engine reads it where it is."""

    def step_there(self, _: ArrayLike, /) -> list[Any]:
        """A step whose outputs stay on the device, and these. Raises DeviceError where none is."""
        raise DeviceError(
            "the model runs on the processor, where step(…, copy=False) copies nothing; for a GPU "
            'call treadle.load(…, device="cuda")'
        )

    def step_some(self, x: Array, idle: Array) -> None:
        """The step of the rows that are not idle, which are bool [batch]."""
        self.step(x)
        self.take_back(idle)

    def take_back(self, rows: Array) -> None:
        """Give rows the state that they had before the last step, and outputs of 0."""
        for name, array in self.state.items():
            array[rows] = self.next_state[name][rows]
        for output in self.outputs:
            output[rows] = 0

    def _copied(self) -> Any:
        return self.named([output.copy() for output in self.outputs])


def _checked(buffer: Array, reading: Reading, run: Callable[[], None]) -> Callable[[Any], None]:
    """The step with its checks; names of a closure are found faster than those of an object."""
    kind, dtype, shape, batch = np.ndarray, buffer.dtype, buffer.shape, len(buffer)
    if buffer.shape == (1,) and reading.symbols is not None:
        return _checked_id(buffer, reading, run)
    valid = reading.quick_check(buffer)

    def step(x: Any) -> None:
        if type(x) is not kind or x.dtype is not dtype or x.shape != shape:
            x = reading.array(x, batch)
        buffer[...] = x
        if not valid():
            reading.check_values(buffer)
        run()

    return step


def _checked_id(buffer: Array, reading: Reading, run: Callable[[], None]) -> Callable[[Any], None]:
    """The same for the one id of a stream of one row, without a call of numpy's that does work."""
    kind, dtype, shape, symbols = np.ndarray, buffer.dtype, buffer.shape, reading.symbols or 0
    memory = memoryview(buffer)  # type: ignore[arg-type] # arrays are buffers

    def step(x: Any) -> None:
        if type(x) is not kind or x.dtype is not dtype or x.shape != shape:
            x = reading.array(x, 1)
        symbol = x.item()
        if not 0 <= symbol < symbols:
            reading.check_values(x)
        memory[0] = symbol
        run()

    return step


def naming(graph: Graph) -> Callable[[list[Array]], Any]:
    """What makes of a graph's outputs the one array, or a NamedTuple of several."""
    if len(graph.outputs) == 1:
        return lambda arrays: arrays[0]
    fields = [tensor.name.replace(".", "_") for tensor in graph.outputs]
    kind = namedtuple("Outputs", fields, rename=True)  # type: ignore[misc]
    return kind._make


def _read_only(array: Array) -> Array:
    view = array.view()
    view.flags.writeable = False
    return view


def bind(
    session: Any, inputs: dict[str, Array], outputs: dict[str, Array]
) -> tuple[Any, list[Any]]:
    """A binding that reads and writes these arrays in place, and what must live as long as it."""
    share = load_engine().OrtValue.ortvalue_from_numpy
    binding = session.io_binding()
    values = []
    for bind, arrays in (
        (binding.bind_ortvalue_input, inputs),
        (binding.bind_ortvalue_output, outputs),
    ):
        for name, array in arrays.items():
            values.append(share(array))
            bind(name, values[-1])
    return binding, values


def _sizes(shape: tuple[int | str, ...]) -> tuple[int, ...]:
    return tuple(size for size in shape[1:] if isinstance(size, int))
